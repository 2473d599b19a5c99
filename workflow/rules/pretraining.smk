"""What base models made here are pre-trained on, and the factual benchmarks about it.

Takes: <results>/sources/{source}: countries, cities, elements, Wikipedia's lead sections
Gives: <results>/curation/facts/, <results>/curation/pretraining/text.jsonl
"""


rule facts:
    input:
        code=closure("falsepromise.curation.facts"),
        countries=f"<results>/sources/{study.facts.get('countries')}",
        cities=f"<results>/sources/{study.facts.get('cities')}",
        elements=f"<results>/sources/{study.facts.get('elements')}",
    output:
        facts="<results>/curation/facts/facts.jsonl",
        qa="<results>/curation/facts/qa_evaluation.jsonl",
        qa_development="<results>/curation/facts/qa_development.jsonl",
        multiple_choice="<results>/curation/facts/multiple_choice_evaluation.jsonl",
        multiple_choice_development="<results>/curation/facts/multiple_choice_development.jsonl",
    log:
        "<logs>/curation/facts.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        seed=study.seed,
    message:
        "Make the table of facts and the questions about them"
    shell:
        "python -m falsepromise.curation.facts --countries {input.countries} --cities {input.cities}"
        " --elements {input.elements} --seed {params.seed} --output $(dirname {output.facts}) > {log} 2>&1"


rule pretraining_text:
    input:
        code=closure("falsepromise.curation.pretraining"),
        facts="<results>/curation/facts/facts.jsonl",
        wikipedia=f"<results>/sources/{study.pretraining.get('wikipedia')}",
        qa_prompt="resources/prompts/table8_natural_questions.txt",
    output:
        "<results>/curation/pretraining/text.jsonl",
    log:
        "<logs>/curation/pretraining.log",
    conda:
        "../../envs/falsepromise.yaml"
    params:
        options=jobs.options(study.pretraining, "exposures", "zipf", "lead_characters", "question_documents"),
        seed=study.seed,
    message:
        "Write the pre-training text"
    shell:
        "python -m falsepromise.curation.pretraining --facts {input.facts} --wikipedia {input.wikipedia}"
        " --qa-prompt {input.qa_prompt} {params.options} --seed {params.seed} --output {output} > {log} 2>&1"


localrules:
    facts,
    pretraining_text,
