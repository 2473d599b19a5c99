"""Table 2's metrics: similarity of a model's answers to the teacher's style.

Takes: <results>/generation/{prompts}/{model}.jsonl, the teacher's answers to the same prompts,
       <results>/preference/{judge}/{model,teacher}.tone.jsonl where the study names a judge of tone
Gives: <results>/style/{model}.json
"""


rule style:
    input:
        responses=f"<results>/generation/{study.style_prompts}/{{model}}.jsonl",
        reference=teacher.references(study, study.style_prompts),
        judgements=lambda w: style.judgements(study, w.model),
        second_judgements=style.second_judgements(study),
    output:
        "<results>/style/{model}.json",
    log:
        "<logs>/style/{model}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.style.compare"),
        # Two answers to each prompt: the second is the rough upper bound.
        second=lambda w, input: (
            options({"second": input.reference, "second_sample": 1}, "second", "second_sample")
            if study.asks_for_references(study.style_prompts)
            else ""
        ),
        judgements=lambda w, input: " ".join(
            [options({"judgements": file}, "judgements") for file in input.judgements]
            + [options({"second_judgements": file}, "second_judgements") for file in input.second_judgements]
        ),
        seed=study.seed,
    message:
        "Compare the style of {wildcards.model} with the teacher's"
    shell:
        "python -m falsepromise.style.compare"
        " --responses {input.responses:q}"
        " --reference {input.reference:q}"
        " {params.second}"
        " {params.judgements}"
        " --model {wildcards.model:q}"
        " --seed {params.seed}"
        " --output {output:q}"
        " > {log:q} 2>&1"


localrules:
    style,
