"""Preferences of judges and raters between the model's and the teacher's answers, and what explains them.

Takes: <results>/generation/{prompts}/{model}.jsonl, the teacher's answers, the prompts, raters' votes,
       <results>/style/{model}.json
Gives: <results>/preference/{judge or raters}/{model}.json, from {judge}/{model}.votes.jsonl or the raters' files
       <results>/preference/{judge}/teacher_{second,itself}.json where the judge has controls
       <results>/preference/{judge}/{model,teacher}.tone.jsonl
       <results>/preference/{model}.agreement.json, {judge or raters}/{model}.regression.json
"""


rule judge:
    input:
        prompts=lambda w: f"<results>/curation/prompts/{study.config.judges[w.judge].prompts}.jsonl",
        responses=lambda w: f"<results>/generation/{study.config.judges[w.judge].prompts}/{w.model}.jsonl",
        reference=lambda w: teacher.references(study, study.config.judges[w.judge].prompts),
        facts=teacher.facts(study),
    output:
        "<results>/preference/{judge}/{model}.votes.jsonl",
    log:
        "<logs>/preference/{judge}/{model}.votes.log",
    conda:
        ENVIRONMENT
    resources:
        limits=lambda w: teacher.limits(study, w.judge),
    params:
        code=lambda w: digest("falsepromise.preference.judge", preference.rubric(study, w.judge)),
        judge=lambda w: teacher.answer_options(study, w.judge),
        facts=lambda w, input: teacher.known_facts(study, input.facts, w.judge),
        order=lambda w: options(study.config.judges[w.judge], "order", "rubric", "max_tokens"),
        sample="",
    message:
        "{wildcards.judge} judges {wildcards.model} against the teacher"
    shell:
        "python -m falsepromise.preference.judge"
        " --prompts {input.prompts:q}"
        " --responses {input.responses:q}"
        " --reference {input.reference:q}"
        " --rater {wildcards.judge:q}"
        " {params.judge}"
        " {params.facts}"
        " {params.order}"
        " {params.sample}"
        " {resources.limits}"
        " --output {output:q}"
        " 2>&1 | tee {log:q}"


# The upper bound, the teacher's second answers, and a test of the judge, each answer against itself.
use rule judge as judge_of_teacher with:
    input:
        prompts=lambda w: f"<results>/curation/prompts/{study.config.judges[w.judge].prompts}.jsonl",
        responses=lambda w: teacher.references(study, study.config.judges[w.judge].prompts),
        reference=lambda w: teacher.references(study, study.config.judges[w.judge].prompts),
        facts=teacher.facts(study),
    output:
        "<results>/preference/{judge}/teacher_{control}.votes.jsonl",
    log:
        "<logs>/preference/{judge}/teacher_{control}.votes.log",
    params:
        code=lambda w: digest("falsepromise.preference.judge", preference.rubric(study, w.judge)),
        judge=lambda w: teacher.answer_options(study, w.judge),
        facts=lambda w, input: teacher.known_facts(study, input.facts, w.judge),
        order=lambda w: options(study.config.judges[w.judge], "order", "rubric", "max_tokens"),
        sample=lambda w: f"--sample {preference.SAMPLES[w.control]}",
    message:
        "{wildcards.judge} judges the teacher against itself ({wildcards.control})"


rule judge_tone:
    input:
        responses=f"<results>/generation/{study.style_prompts}/{{model}}.jsonl",
        facts=teacher.facts(study),
    output:
        "<results>/preference/{judge}/{model}.tone.jsonl",
    log:
        "<logs>/preference/{judge}/{model}.tone.log",
    conda:
        ENVIRONMENT
    resources:
        limits=lambda w: teacher.limits(study, w.judge),
    params:
        code=code("falsepromise.preference.tone", "prompts/judge_tone.txt"),
        judge=lambda w: teacher.answer_options(study, w.judge),
        facts=lambda w, input: teacher.known_facts(study, input.facts, w.judge),
        sample=0,
    message:
        "{wildcards.judge} judges the tone of {output}"
    shell:
        "python -m falsepromise.preference.tone"
        " --responses {input.responses:q}"
        " --sample {params.sample}"
        " {params.judge}"
        " {params.facts}"
        " {resources.limits}"
        " --output {output:q}"
        " 2>&1 | tee {log:q}"


# The teacher's second answers, Table 2's upper bound.
use rule judge_tone as judge_tone_of_teacher with:
    input:
        responses=teacher.references(study, study.style_prompts),
        facts=teacher.facts(study),
    output:
        "<results>/preference/{judge}/teacher.tone.jsonl",
    log:
        "<logs>/preference/{judge}/teacher.tone.log",
    params:
        code=code("falsepromise.preference.tone", "prompts/judge_tone.txt"),
        judge=lambda w: teacher.answer_options(study, w.judge),
        facts=lambda w, input: teacher.known_facts(study, input.facts, w.judge),
        sample=1,


rule aggregate:
    input:
        votes=lambda w: files.as_input(*preference.votes(study, w.source_of_votes, w.model)),
        responses=lambda w: f"<results>/generation/{study.voters[w.source_of_votes].prompts}/{w.model}.jsonl",
        reference=lambda w: teacher.references(study, study.voters[w.source_of_votes].prompts),
    output:
        "<results>/preference/{source_of_votes}/{model}.json",
    log:
        "<logs>/preference/{source_of_votes}/{model}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.preference.aggregate"),
        votes=lambda w: preference.votes(study, w.source_of_votes, w.model),
        holds=lambda w: files.stamp(*preference.raters_files(study, w.source_of_votes, w.model)),
        options=lambda w: options(study.voters[w.source_of_votes], "stand_in"),
        seed=study.seed,
    message:
        "Sum up what {wildcards.source_of_votes} says of {wildcards.model}"
    shell:
        "python -m falsepromise.preference.aggregate"
        " --votes {params.votes:q}"
        " --model {wildcards.model:q}"
        " --judge {wildcards.source_of_votes:q}"
        " --responses {input.responses:q}"
        " --reference {input.reference:q}"
        " {params.options}"
        " --seed {params.seed}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule aggregate_of_teacher:
    input:
        "<results>/preference/{judge}/teacher_{control}.votes.jsonl",
    output:
        "<results>/preference/{judge}/teacher_{control}.json",
    log:
        "<logs>/preference/{judge}/teacher_{control}.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.preference.aggregate"),
        options=lambda w: options(study.config.judges[w.judge], "stand_in"),
        seed=study.seed,
    message:
        "Sum up what {wildcards.judge} says of the teacher against itself ({wildcards.control})"
    shell:
        "python -m falsepromise.preference.aggregate"
        " --votes {input:q}"
        " --judge {wildcards.judge:q}"
        " {params.options}"
        " --seed {params.seed}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule agreement:
    input:
        preferences=lambda w: preference.scores_on_same_prompts(study, w.model),
        style=lambda w: preference.style_on_same_prompts(study, w.model),
    output:
        "<results>/preference/{model}.agreement.json",
    log:
        "<logs>/preference/{model}.agreement.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.preference.agreement"),
        style=lambda w, input: options({"style": input.style}, "style"),
        seed=study.seed,
    message:
        "Set judges, raters and style of {wildcards.model} against each other"
    shell:
        "python -m falsepromise.preference.agreement"
        " --preference {input.preferences:q}"
        " {params.style}"
        " --seed {params.seed}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule regression:
    input:
        preference="<results>/preference/{source_of_votes}/{model}.json",
        style="<results>/style/{model}.json",
    output:
        "<results>/preference/{source_of_votes}/{model}.regression.json",
    log:
        "<logs>/preference/{source_of_votes}/{model}.regression.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.preference.regression"),
    message:
        "Does style explain what {wildcards.source_of_votes} prefers of {wildcards.model}?"
    shell:
        "python -m falsepromise.preference.regression"
        " --preference {input.preference:q}"
        " --style {input.style:q}"
        " --output {output:q}"
        " > {log:q} 2>&1"


# Only the machine that runs Snakemake has the judge's key and access to its server.
localrules:
    judge,
    judge_of_teacher,
    judge_tone,
    aggregate,
    aggregate_of_teacher,
    agreement,
    regression,
