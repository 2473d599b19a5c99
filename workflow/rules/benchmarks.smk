"""One score file for each model and benchmark.

Takes: <results>/training/{bases,models}/{model}/, the benchmark's questions
Gives: <results>/benchmarks/{benchmark}/{model}.json
"""


rule score:
    input:
        code=closure("falsepromise.benchmarks.run"),
        model=study.model_of,
        data=study.benchmark_data,
        prompt=study.benchmark_prompt,
    output:
        "<results>/benchmarks/{benchmark}/{model}.json",
    log:
        "<logs>/benchmarks/{benchmark}/{model}.log",
    conda:
        "../../envs/falsepromise.yaml"
    threads: study.cpus("score")
    resources:
        **study.needs("score"),
    params:
        task=lambda w: study.benchmarks[w.benchmark]["task"],
        options=study.benchmark_options,
        turn_tokens=study.turn_tokens,
        seed=study.seed,
    message:
        "Score {wildcards.model} on {wildcards.benchmark} ({resources.gpu} GPUs, {resources.mem_mb} MB,"
        " up to {resources.runtime} min)"
    shell:
        "{resources.launch} python -m falsepromise.benchmarks.run --model {input.model} --name {wildcards.model}"
        " --benchmark {wildcards.benchmark} --task {params.task} --data {input.data} --turn-tokens {params.turn_tokens} {params.options}"
        " --seed {params.seed} --output {output} 2>&1 | tee {log}"
