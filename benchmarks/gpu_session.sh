#!/usr/bin/env bash
# Everything that wants a GPU, part by part: each has a time limit and its own log in FOLDER, so that a failure or a
# machine that is taken away loses one part.
#   bash benchmarks/gpu_session.sh FOLDER [PART...]      parts: look tests train-7b train-xl peer-7b peer-xl decode
set -u
cd "$(dirname "$0")/.."
out=$1; shift
parts=${*:-look tests train-7b train-xl peer-7b peer-xl decode}
mkdir -p "$out"
export PYTHONPATH=$PWD/workflow${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=3
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-/tmp/falsepromise-jax}
export XLA_PYTHON_CLIENT_MEM_FRACTION=${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.95}
python=${PYTHON:-python3}

part() { # NAME SECONDS COMMAND...
    local name=$1 limit=$2 begun=$SECONDS; shift 2
    echo "== $name: $*"
    timeout -k 5 "$limit" "$@" 2>&1 | grep --line-buffered -v "^[WI][0-9]\{4\} " | tee -a "$out/$name.log"
    echo "== $name: exit ${PIPESTATUS[0]}, $((SECONDS - begun)) s" | tee -a "$out/$name.log"
}

train="$python benchmarks/training_gpu.py"
for name in $parts; do
    case $name in
        look) part look 30 bash -c "nvidia-smi --query-gpu=name,memory.total,driver_version,clocks.sm,clocks.mem --format=csv
            $python -m pip list 2>/dev/null | grep -iE '^(jax|flax|optax|orbax|torch |transformers|nvidia-cudnn|pydantic)'" ;;
        tests) part tests 240 env XLA_PYTHON_CLIENT_MEM_FRACTION=0.1 $python -m pytest -q -n 6 -p no:cacheprovider --tb=short --durations=4 tests/gpu ;;
        train-7b) part train-7b 100 $train --models llama-7b --sides ours --steps 5 ;;
        train-7b-full) part train-7b-full 100 $train --models llama-7b --sides ours --steps 3 --rows 8 --recipe '{"remat": "full"}' ;;
        train-xl) part train-xl 100 $train --models gpt2-xl --sides ours --steps 5 --profile ;;
        train-xl-unrolled) part train-xl-unrolled 200 $train --models gpt2-xl --sides ours --steps 5 --recipe '{"layers": "unrolled"}' --profile ;;
        train-xl-wide) part train-xl-wide 100 $train --models gpt2-xl --sides ours --steps 4 --rows 48 ;;
        peer-7b) part peer-7b 100 $train --models llama-7b --sides peer --steps 3 ;;
        peer-7b-wide) part peer-7b-wide 100 $train --models llama-7b --sides peer --steps 2 --peer checkpoint ;;
        peer-xl) part peer-xl 100 $train --models gpt2-xl --sides peer --steps 5 --rows 8 ;;
        decode) part decode 280 $python benchmarks/generation_gpu.py ;;
        *) echo "no such part: $name" ;;
    esac
done
