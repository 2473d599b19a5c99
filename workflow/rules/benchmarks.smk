"""One score file for each model and benchmark.

Takes: <results>/training/{bases,models}/{model}/, the benchmark's questions
Gives: <results>/benchmarks/{benchmark}/{model}.json

With `shards`, each job asks the model a part, and `score` computes the score from their replies without the weights.
"""


rule score:
    input:
        model=lambda w: training.weights(study, w.model),
        data=lambda w: benchmarks.data(study, w.benchmark),
        own_task=lambda w: benchmarks.own_task(study, w.benchmark),
        parts=lambda w: parts(
            workflow,
            f"{study.results}/benchmarks/{w.benchmark}/{w.model}.json",
            study.config.benchmarks[w.benchmark].shards,
        ),
    output:
        "<results>/benchmarks/{benchmark}/{model}.json",
    log:
        "<logs>/benchmarks/{benchmark}/{model}.log",
    conda:
        ENVIRONMENT
    threads: costs.threads(study, "score")
    resources:
        **costs.needs(study, "score"),
    params:
        code=lambda w: benchmarks.code(study, w.benchmark),
        asked=lambda w: benchmarks.asked(study, w.benchmark),
        own=lambda w: files.stamp(*benchmarks.own_files(study, w.benchmark)),
        questions=lambda w, input: benchmarks.questions(input.data),
        options=lambda w: benchmarks.score_options(study, w.benchmark),
        turn_tokens=lambda w: benchmarks.turn_tokens(study, w.benchmark, w.model),
        part=lambda w, input: options({"from_shards": input.parts}, "from_shards"),
        seed=study.seed,
    message:
        "Score {wildcards.model} on {wildcards.benchmark} ({resources.gpu} GPUs, {resources.mem_mb} MB,"
        " up to {resources.runtime} min)"
    shell:
        "{resources.launch} python -m falsepromise.benchmarks.run"
        " --model {input.model:q}"
        " --name {wildcards.model:q}"
        " --benchmark {wildcards.benchmark:q}"
        " {params.asked}"
        " {params.questions}"
        " --turn-tokens {params.turn_tokens}"
        " {params.options}"
        " {params.part}"
        " --seed {params.seed}"
        " --output {output:q}"
        " 2>&1 | tee {log:q}"


use rule score as score_part with:
    input:
        model=lambda w: training.weights(study, w.model),
        data=lambda w: benchmarks.data(study, w.benchmark),
        own_task=lambda w: benchmarks.own_task(study, w.benchmark),
    output:
        temp("<results>/benchmarks/{benchmark}/{model}.{part}-of-{parts}.jsonl"),
    log:
        "<logs>/benchmarks/{benchmark}/{model}.{part}-of-{parts}.log",
    threads: costs.threads(study, "score_part")
    resources:
        **costs.needs(study, "score_part"),
    params:
        part=lambda w: f"--shard {w.part}/{w.parts}",
    message:
        "Ask {wildcards.model} part {wildcards.part} of {wildcards.parts} of {wildcards.benchmark}"
        " ({resources.gpu} GPUs, {resources.mem_mb} MB, up to {resources.runtime} min)"
