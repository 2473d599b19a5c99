"""Which answer a judge prefers, the model's or the teacher's.

Takes: <results>/generation/{prompts}/{model}.jsonl, the teacher's answers, the prompts
Gives: <results>/preference/{judge}/{model}.votes.jsonl and .json
       <results>/preference/{judge}/{model}.tone.jsonl
"""


rule judge:
    input:
        code=closure("falsepromise.preference.judge"),
        prompts=lambda w: f"<results>/curation/prompts/{study.judges[w.judge]['prompts']}.jsonl",
        responses=lambda w: f"<results>/generation/{study.judges[w.judge]['prompts']}/{w.model}.jsonl",
        reference=lambda w: study.references(study.judges[w.judge]["prompts"]),
        facts=study.facts_input,
    output:
        "<results>/preference/{judge}/{model}.votes.jsonl",
    log:
        "<logs>/preference/{judge}/{model}.votes.log",
    conda:
        "../../envs/falsepromise.yaml"
    resources:
        limits=lambda w: study.teacher_limits(w.judge),
        mem_mb=2000,
        runtime=240,
    params:
        judge=lambda w: study.teacher_options(w.judge),
    message:
        "{wildcards.judge} judges {wildcards.model} against the teacher"
    shell:
        "python -m falsepromise.preference.judge --prompts {input.prompts} --responses {input.responses}"
        " --reference {input.reference} {params.judge} {resources.limits} --output {output} 2>&1 | tee {log}"


rule judge_tone:
    input:
        code=closure("falsepromise.preference.tone"),
        responses=f"<results>/generation/{study.style_prompts}/{{model}}.jsonl",
        facts=study.facts_input,
    output:
        "<results>/preference/{judge}/{model}.tone.jsonl",
    log:
        "<logs>/preference/{judge}/{model}.tone.log",
    conda:
        "../../envs/falsepromise.yaml"
    resources:
        limits=lambda w: study.teacher_limits(w.judge),
        mem_mb=2000,
        runtime=240,
    params:
        judge=lambda w: study.teacher_options(w.judge),
    message:
        "{wildcards.judge} judges the tone of {wildcards.model}"
    shell:
        "python -m falsepromise.preference.tone --responses {input.responses}"
        " {params.judge} {resources.limits} --output {output} 2>&1 | tee {log}"


rule aggregate:
    input:
        code=closure("falsepromise.preference.aggregate"),
        votes="<results>/preference/{judge}/{model}.votes.jsonl",
        responses=lambda w: f"<results>/generation/{study.judges[w.judge]['prompts']}/{w.model}.jsonl",
        reference=lambda w: study.references(study.judges[w.judge]["prompts"]),
    output:
        "<results>/preference/{judge}/{model}.json",
    log:
        "<logs>/preference/{judge}/{model}.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        options=lambda w: jobs.options(study.judges[w.judge], "stand_in"),
        seed=study.seed,
    message:
        "Sum up what {wildcards.judge} says of {wildcards.model}"
    shell:
        "python -m falsepromise.preference.aggregate --votes {input.votes} --model {wildcards.model}"
        " --judge {wildcards.judge} --responses {input.responses} --reference {input.reference}"
        " {params.options} --seed {params.seed} --output {output} > {log} 2>&1"


localrules:
    aggregate,
