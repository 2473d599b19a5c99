"""Dialogues to learn from and prompts to be asked, out of raw files.

Takes: <results>/sources/{source}
Gives: <results>/curation/clean/{pool}.jsonl, deduplicated on the query, one language, with a funnel of counts
       <results>/curation/mixtures/{mixture}.s{seed}.jsonl, training dialogues in the order of the seed
       <results>/curation/prompts/{prompts}.jsonl and .references.jsonl, held out from training
"""


rule parse_dialogues:
    input:
        code=lambda w: closure(f"falsepromise.curation.{study.sources[w.source]['format']}"),
        raw="<results>/sources/{source}",
    output:
        dialogues="<results>/curation/dialogues/{source}.jsonl",
        funnel="<results>/curation/dialogues/{source}.funnel.csv",
    log:
        "<logs>/curation/dialogues/{source}.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        format=lambda w: study.sources[w.source]["format"],
    message:
        "Read the dialogues of {wildcards.source}"
    shell:
        "python -m falsepromise.curation.{params.format} --input {input.raw} --source {wildcards.source}"
        " --output {output.dialogues} --funnel {output.funnel} > {log} 2>&1"


rule clean_pool:
    input:
        code=closure("falsepromise.curation.clean"),
        dialogues=lambda w: [f"<results>/curation/dialogues/{s}.jsonl" for s in study.pools[w.pool]["sources"]],
    output:
        dialogues="<results>/curation/clean/{pool}.jsonl",
        funnel="<results>/curation/clean/{pool}.funnel.csv",
    log:
        "<logs>/curation/clean/{pool}.log",
    conda:
        "../../envs/falsepromise.yaml"
    threads: costs.threads(study, "clean_pool")
    resources:
        **costs.needs(study, "clean_pool"),
    params:
        options=lambda w: options(study.pools[w.pool], "language", "language_threshold", "near_duplicates"),
    message:
        "Deduplicate {wildcards.pool} on the query and keep one language"
    shell:
        "python -m falsepromise.curation.clean --input {input.dialogues} {params.options}"
        " --output {output.dialogues} --funnel {output.funnel} > {log} 2>&1"


rule split_pool:
    input:
        code=closure("falsepromise.curation.split"),
        dialogues="<results>/curation/clean/{pool}.jsonl",
    output:
        train="<results>/curation/clean/{pool}.train.jsonl",
        heldout="<results>/curation/clean/{pool}.heldout.jsonl",
    log:
        "<logs>/curation/clean/{pool}.split.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        heldout=lambda w: study.pools[w.pool].get("heldout", 0),
        seed=study.seed,
    message:
        "Set dialogues of {wildcards.pool} aside for prompts"
    shell:
        "python -m falsepromise.curation.split --input {input.dialogues} --heldout {params.heldout}"
        " --seed {params.seed} --output-train {output.train} --output-heldout {output.heldout} > {log} 2>&1"


rule mix:
    input:
        code=closure("falsepromise.curation.mix"),
        dialogues=lambda w: curation.dialogues(study, w.mixture),
        prompt=lambda w: study.mixtures[w.mixture].get("query_prompt", []),
    output:
        "<results>/curation/mixtures/{mixture}.s{seed}.jsonl",
    log:
        "<logs>/curation/mixtures/{mixture}.s{seed}.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        options=lambda w: options(study.mixtures[w.mixture], *curation.SELECTION, "query_prompt", "query_prompt_share"),
    message:
        "Order the dialogues of {wildcards.mixture} by seed {wildcards.seed}"
    shell:
        "python -m falsepromise.curation.mix --input {input.dialogues} --seed {wildcards.seed} {params.options}"
        " --output {output} > {log} 2>&1"


rule prompts:
    input:
        code=closure("falsepromise.curation.prompts"),
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
        "../../envs/falsepromise.yaml"
    threads: costs.threads(study, "prompts")
    resources:
        **costs.needs(study, "prompts"),
    params:
        n=lambda w: study.prompts[w.prompts]["n"],
        options=lambda w: options(study.prompts[w.prompts], "max_bleu", *curation.SELECTION),
        seed=study.seed,
    message:
        "Draw the prompts {wildcards.prompts}, none of them close to a training query"
    shell:
        "python -m falsepromise.curation.prompts --pool {input.pool} --training {input.training}"
        " --n {params.n} {params.options} --seed {params.seed}"
        " --output {output.prompts} --references {output.references} --funnel {output.funnel}"
        " --leaks {output.leaks} > {log} 2>&1"


localrules:
    parse_dialogues,
    split_pool,
    mix,
