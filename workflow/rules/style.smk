"""Table 2's metrics: how like the teacher's a model's answers are.

Takes: <results>/generation/{prompts}/{model}.jsonl, the teacher's answers to the same prompts,
       <results>/preference/{judge}/{model,teacher}.tone.jsonl where the study names a judge of tone
Gives: <results>/style/{model}.json
"""


rule style:
    input:
        code=closure("falsepromise.style.compare"),
        responses=f"<results>/generation/{study.style_prompts}/{{model}}.jsonl",
        reference=teacher.references(study, study.style_prompts),
        judgements=lambda w: style.judgements(study, w.model),
        second_judgements=style.second_judgements(study),
    output:
        "<results>/style/{model}.json",
    log:
        "<logs>/style/{model}.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        # Two answers to each prompt: the second is the rough upper bound.
        second=lambda w, input: (
            f"--second {input.reference} --second-sample 1" if study.asks_for_references(study.style_prompts) else ""
        ),
        judgements=lambda w, input: " ".join(
            [f"--judgements {file}" for file in input.judgements]
            + [f"--second-judgements {file}" for file in input.second_judgements]
        ),
        seed=study.seed,
    message:
        "Compare the style of {wildcards.model} with the teacher's"
    shell:
        "python -m falsepromise.style.compare --responses {input.responses} --reference {input.reference}"
        " {params.second} {params.judgements} --model {wildcards.model} --seed {params.seed} --output {output} > {log} 2>&1"


localrules:
    style,
