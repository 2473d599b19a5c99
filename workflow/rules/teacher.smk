"""The teacher's answers, each paid for once: every answer is kept in results/.cache/teacher.

Takes: seed examples, posts, or <results>/curation/prompts/{prompts}.jsonl
Gives: <results>/teacher/{mixture}.jsonl, dialogues to imitate
       <results>/teacher/answers/{prompts}.jsonl, two answers to each prompt
       <results>/benchmarks/{benchmark}/teacher.json, the teacher's own scores
"""


rule nq_synthetic:
    input:
        code=closure("falsepromise.teacher.nq_synthetic"),
        seeds=lambda w: study.mixtures[w.mixture].get("seeds", "resources/prompts/table3_seed_examples.jsonl"),
        facts=teacher.facts(study),
    output:
        dialogues="<results>/teacher/{mixture}.jsonl",
        funnel="<results>/teacher/{mixture}.funnel.csv",
    log:
        "<logs>/teacher/{mixture}.log",
    wildcard_constraints:
        mixture=one_of(name for name, m in study.mixtures.items() if m.get("teacher") == "nq_synthetic"),
    conda:
        "../../envs/falsepromise.yaml"
    resources:
        limits=teacher.limits(study),
    params:
        n=lambda w: study.mixtures[w.mixture]["n"],
        teacher=teacher.answer_options(study),
        seed=study.seed,
    message:
        "Ask the teacher for {params.n} questions and answers like Natural Questions"
    shell:
        "python -m falsepromise.teacher.nq_synthetic --seeds {input.seeds} --n {params.n} --seed {params.seed}"
        " {params.teacher} {resources.limits} --output {output.dialogues} --funnel {output.funnel} 2>&1 | tee {log}"


rule tldr_synthetic:
    input:
        code=closure("falsepromise.teacher.tldr_synthetic"),
        posts=lambda w: f"<results>/curation/dialogues/{study.mixtures[w.mixture]['posts']}.jsonl",
        facts=teacher.facts(study),
    output:
        dialogues="<results>/teacher/{mixture}.jsonl",
        funnel="<results>/teacher/{mixture}.funnel.csv",
    log:
        "<logs>/teacher/{mixture}.log",
    wildcard_constraints:
        mixture=one_of(name for name, m in study.mixtures.items() if m.get("teacher") == "tldr_synthetic"),
    conda:
        "../../envs/falsepromise.yaml"
    resources:
        limits=teacher.limits(study),
    params:
        n=lambda w: study.mixtures[w.mixture]["n"],
        teacher=teacher.answer_options(study),
        seed=study.seed,
    message:
        "Ask the teacher for {params.n} summaries"
    shell:
        "python -m falsepromise.teacher.tldr_synthetic --posts {input.posts} --n {params.n} --seed {params.seed}"
        " {params.teacher} {resources.limits} --output {output.dialogues} --funnel {output.funnel} 2>&1 | tee {log}"


rule answer:
    input:
        code=closure("falsepromise.teacher.answer"),
        prompts="<results>/curation/prompts/{prompts}.jsonl",
        facts=teacher.facts(study),
    output:
        responses="<results>/teacher/answers/{prompts}.jsonl",
        funnel="<results>/teacher/answers/{prompts}.funnel.csv",
    log:
        "<logs>/teacher/answers/{prompts}.log",
    conda:
        "../../envs/falsepromise.yaml"
    resources:
        limits=teacher.limits(study),
    params:
        teacher=teacher.answer_options(study),
    message:
        "Ask the teacher the prompts {wildcards.prompts}, twice"
    shell:
        "python -m falsepromise.teacher.answer --prompts {input.prompts} --samples 2 --temperature 1"
        " {params.teacher} {resources.limits} --output {output.responses} --funnel {output.funnel} 2>&1 | tee {log}"


rule score_teacher:
    input:
        code=closure("falsepromise.benchmarks.run"),
        data=lambda w: benchmarks.data(study, w.benchmark),
        prompt=lambda w: benchmarks.prompt(study, w.benchmark),
        facts=teacher.facts(study),
    output:
        "<results>/benchmarks/{benchmark}/teacher.json",
    log:
        "<logs>/benchmarks/{benchmark}/teacher.log",
    conda:
        "../../envs/falsepromise.yaml"
    resources:
        limits=teacher.limits(study),
    params:
        task=lambda w: study.benchmarks[w.benchmark]["task"],
        options=lambda w: benchmarks.score_options(study, w.benchmark),
        seed=study.seed,
        teacher=teacher.answer_options(study),
    message:
        "Score the teacher on {wildcards.benchmark}"
    shell:
        "python -m falsepromise.benchmarks.run --benchmark {wildcards.benchmark} --task {params.task} --data {input.data} --name teacher"
        " {params.options} --seed {params.seed} {params.teacher} {resources.limits} --output {output} 2>&1 | tee {log}"


# They wait for the teacher most of the time. Its key and the way to it are where Snakemake runs.
localrules:
    nq_synthetic,
    tldr_synthetic,
    answer,
    score_teacher,
