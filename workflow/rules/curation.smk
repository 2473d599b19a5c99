"""Training dialogues and evaluation prompts from raw files.

Takes: <results>/sources/{source}
Gives: <results>/curation/clean/{pool}.jsonl, deduplicated on the query, one language, with a funnel of counts
       with `shards`, jobs tell the language of a part of the dialogues each
       <results>/curation/mixtures/{mixture}.s{seed}.jsonl, training dialogues in the order of the seed
       <results>/curation/prompts/{prompts}.jsonl and .references.jsonl, held out from training
"""


rule parse_dialogues:
    input:
        raw="<results>/sources/{source}",
    output:
        dialogues="<results>/curation/dialogues/{source}.jsonl",
        funnel="<results>/curation/dialogues/{source}.funnel.csv",
    log:
        "<logs>/curation/dialogues/{source}.log",
    conda:
        ENVIRONMENT
    params:
        code=lambda w: digest(f"falsepromise.curation.{study.config.sources[w.source].format}"),
        format=lambda w: study.config.sources[w.source].format,
        options=lambda w: curation.reader_options(study, w.source),
    message:
        "Read the dialogues of {wildcards.source}"
    shell:
        "python -m falsepromise.curation.{params.format}"
        " --input {input.raw:q}"
        " --source {wildcards.source:q}"
        " {params.options}"
        " --output {output.dialogues:q}"
        " --funnel {output.funnel:q}"
        " > {log:q} 2>&1"


rule clean_pool:
    input:
        dialogues=lambda w: [f"<results>/curation/dialogues/{s}.jsonl" for s in study.config.pools[w.pool].sources],
        parts=lambda w: parts(
            workflow, f"{study.results}/curation/clean/{w.pool}.jsonl", study.config.pools[w.pool].shards
        ),
    output:
        dialogues="<results>/curation/clean/{pool}.jsonl",
        funnel="<results>/curation/clean/{pool}.funnel.csv",
    log:
        "<logs>/curation/clean/{pool}.log",
    conda:
        ENVIRONMENT
    threads: costs.threads(study, "clean_pool")
    resources:
        **costs.needs(study, "clean_pool"),
    params:
        code=code("falsepromise.curation.clean"),
        options=lambda w: options(study.config.pools[w.pool], "language", "language_threshold", "near_duplicates"),
        part=lambda w, input: options({"from_shards": input.parts}, "from_shards"),
    message:
        "Deduplicate {wildcards.pool} on the query and keep one language"
    shell:
        "python -m falsepromise.curation.clean"
        " --input {input.dialogues:q}"
        " {params.options}"
        " {params.part}"
        " --output {output.dialogues:q}"
        " --funnel {output.funnel:q}"
        " > {log:q} 2>&1"


rule clean_pool_part:
    input:
        dialogues=lambda w: [f"<results>/curation/dialogues/{s}.jsonl" for s in study.config.pools[w.pool].sources],
    output:
        temp("<results>/curation/clean/{pool}.{part}-of-{parts}.jsonl"),
    log:
        "<logs>/curation/clean/{pool}.{part}-of-{parts}.log",
    conda:
        ENVIRONMENT
    threads: costs.threads(study, "clean_pool_part")
    resources:
        **costs.needs(study, "clean_pool_part"),
    params:
        code=code("falsepromise.curation.clean"),
        options=lambda w: options(study.config.pools[w.pool], "language", "language_threshold", "near_duplicates"),
    message:
        "Tell the language of part {wildcards.part} of {wildcards.parts} of {wildcards.pool}"
    shell:
        "python -m falsepromise.curation.clean"
        " --input {input.dialogues:q}"
        " {params.options}"
        " --shard {wildcards.part:q}/{wildcards.parts:q}"
        " --output {output:q}"
        " --funnel /dev/null"
        " > {log:q} 2>&1"


rule split_pool:
    input:
        dialogues="<results>/curation/clean/{pool}.jsonl",
    output:
        train="<results>/curation/clean/{pool}.train.jsonl",
        heldout="<results>/curation/clean/{pool}.heldout.jsonl",
    log:
        "<logs>/curation/clean/{pool}.split.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.curation.split"),
        heldout=lambda w: study.config.pools[w.pool].heldout,
        seed=study.seed,
    message:
        "Set dialogues of {wildcards.pool} aside for prompts"
    shell:
        "python -m falsepromise.curation.split"
        " --input {input.dialogues:q}"
        " --heldout {params.heldout}"
        " --seed {params.seed}"
        " --output-train {output.train:q}"
        " --output-heldout {output.heldout:q}"
        " > {log:q} 2>&1"


rule mix:
    input:
        dialogues=lambda w: curation.dialogues(study, w.mixture),
        query_prompt=lambda w: curation.named(study, w.mixture, "query_prompt"),
    output:
        "<results>/curation/mixtures/{mixture}.s{seed}.jsonl",
    log:
        "<logs>/curation/mixtures/{mixture}.s{seed}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.curation.mix"),
        options=lambda w: curation.mix_options(study, w.mixture),
        holds=lambda w: files.stamp(study.config.mixtures[w.mixture].query_prompt or ""),
        # By its contents: it takes `threads`, so Snakemake keeps no record of the path.
        query_prompt=lambda w, threads: options(study.config.mixtures[w.mixture], "query_prompt"),
    message:
        "Order the dialogues of {wildcards.mixture} by seed {wildcards.seed}"
    shell:
        "python -m falsepromise.curation.mix"
        " --input {input.dialogues:q}"
        " --seed {wildcards.seed:q}"
        " {params.options}"
        " {params.query_prompt}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule prompts:
    input:
        pool=lambda w: curation.prompts_from(study, w.prompts),
        training=lambda w: curation.prompts_stay_away_from(study, w.prompts),
    output:
        prompts="<results>/curation/prompts/{prompts}.jsonl",
        references="<results>/curation/prompts/{prompts}.references.jsonl",
        funnel="<results>/curation/prompts/{prompts}.funnel.csv",
        leaks="<results>/curation/prompts/{prompts}.leaks.json",
    log:
        "<logs>/curation/prompts/{prompts}.log",
    conda:
        ENVIRONMENT
    threads: costs.threads(study, "prompts")
    resources:
        **costs.needs(study, "prompts"),
    params:
        code=code("falsepromise.curation.prompts"),
        n=lambda w: study.config.prompts[w.prompts].n,
        options=lambda w: curation.prompt_options(study, w.prompts),
        seed=study.seed,
    message:
        "Draw the prompts {wildcards.prompts}, none of them close to a training query"
    shell:
        "python -m falsepromise.curation.prompts"
        " --pool {input.pool:q}"
        " --training {input.training:q}"
        " --n {params.n}"
        " {params.options}"
        " --seed {params.seed}"
        " --output {output.prompts:q}"
        " --references {output.references:q}"
        " --funnel {output.funnel:q}"
        " --leaks {output.leaks:q}"
        " > {log:q} 2>&1"


localrules:
    parse_dialogues,
    split_pool,
    mix,
