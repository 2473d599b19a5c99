"""The teacher's answers, each paid for once and stored in results/.cache/teacher.

Takes: seed examples, posts, or <results>/curation/prompts/{prompts}.jsonl
Gives: <results>/teacher/{mixture}.jsonl, dialogues to imitate
       <results>/teacher/answers/{prompts}.jsonl, two answers to each prompt
       <results>/benchmarks/{benchmark}/teacher.json, the teacher's own scores
"""


rule nq_synthetic:
    input:
        seeds=lambda w: curation.named(study, w.mixture, "seeds"),
        facts=teacher.facts(study),
    output:
        dialogues="<results>/teacher/{mixture}.jsonl",
        funnel="<results>/teacher/{mixture}.funnel.csv",
    log:
        "<logs>/teacher/{mixture}.log",
    wildcard_constraints:
        mixture=one_of(name for name, m in study.config.mixtures.items() if m.teacher == "nq_synthetic"),
    conda:
        ENVIRONMENT
    resources:
        limits=teacher.limits(study),
    params:
        code=code("falsepromise.teacher.nq_synthetic", *teacher.NQ_PROMPTS),
        holds=lambda w: files.stamp(study.config.mixtures[w.mixture].seeds or ""),
        # By its contents: it takes `threads`, so Snakemake keeps no record of the path.
        seeds=lambda w, threads: options(study.config.mixtures[w.mixture], "seeds"),
        n=lambda w: study.config.mixtures[w.mixture].n,
        teacher=lambda w: teacher.answer_options(study),
        facts=lambda w, input: teacher.known_facts(study, input.facts),
        seed=study.seed,
    message:
        "Ask the teacher for {params.n} questions and answers like Natural Questions"
    shell:
        "python -m falsepromise.teacher.nq_synthetic"
        " {params.seeds}"
        " --n {params.n}"
        " --seed {params.seed}"
        " {params.teacher}"
        " {params.facts}"
        " {resources.limits}"
        " --output {output.dialogues:q}"
        " --funnel {output.funnel:q}"
        " 2>&1 | tee {log:q}"


rule tldr_synthetic:
    input:
        posts=lambda w: f"<results>/curation/dialogues/{study.config.mixtures[w.mixture].posts}.jsonl",
        facts=teacher.facts(study),
    output:
        dialogues="<results>/teacher/{mixture}.jsonl",
        funnel="<results>/teacher/{mixture}.funnel.csv",
    log:
        "<logs>/teacher/{mixture}.log",
    wildcard_constraints:
        mixture=one_of(name for name, m in study.config.mixtures.items() if m.teacher == "tldr_synthetic"),
    conda:
        ENVIRONMENT
    resources:
        limits=teacher.limits(study),
    params:
        code=code("falsepromise.teacher.tldr_synthetic", "prompts/table5_tldr_synthetic.txt"),
        n=lambda w: study.config.mixtures[w.mixture].n,
        teacher=lambda w: teacher.answer_options(study),
        facts=lambda w, input: teacher.known_facts(study, input.facts),
        seed=study.seed,
    message:
        "Ask the teacher for {params.n} summaries"
    shell:
        "python -m falsepromise.teacher.tldr_synthetic"
        " --posts {input.posts:q}"
        " --n {params.n}"
        " --seed {params.seed}"
        " {params.teacher}"
        " {params.facts}"
        " {resources.limits}"
        " --output {output.dialogues:q}"
        " --funnel {output.funnel:q}"
        " 2>&1 | tee {log:q}"


rule answer:
    input:
        prompts="<results>/curation/prompts/{prompts}.jsonl",
        facts=teacher.facts(study),
    output:
        responses="<results>/teacher/answers/{prompts}.jsonl",
        funnel="<results>/teacher/answers/{prompts}.funnel.csv",
    log:
        "<logs>/teacher/answers/{prompts}.log",
    conda:
        ENVIRONMENT
    resources:
        limits=teacher.limits(study),
    params:
        code=code("falsepromise.teacher.answer"),
        teacher=lambda w: teacher.answer_options(study),
        facts=lambda w, input: teacher.known_facts(study, input.facts),
    message:
        "Ask the teacher the prompts {wildcards.prompts}, twice"
    shell:
        "python -m falsepromise.teacher.answer"
        " --prompts {input.prompts:q}"
        " --samples 2"
        " --temperature 1"
        " {params.teacher}"
        " {params.facts}"
        " {resources.limits}"
        " --output {output.responses:q}"
        " --funnel {output.funnel:q}"
        " 2>&1 | tee {log:q}"


rule score_teacher:
    input:
        data=lambda w: benchmarks.data(study, w.benchmark),
        own_task=lambda w: benchmarks.own_task(study, w.benchmark),
        facts=teacher.facts(study),
    output:
        "<results>/benchmarks/{benchmark}/teacher.json",
    log:
        "<logs>/benchmarks/{benchmark}/teacher.log",
    conda:
        ENVIRONMENT
    resources:
        limits=teacher.limits(study),
    params:
        code=lambda w: benchmarks.code(study, w.benchmark, of_a_server=True),
        asked=lambda w: benchmarks.asked(study, w.benchmark),
        own=lambda w: files.stamp(*benchmarks.own_files(study, w.benchmark)),
        questions=lambda w, input: benchmarks.questions(input.data),
        options=lambda w: benchmarks.score_options(study, w.benchmark),
        seed=study.seed,
        teacher=lambda w: teacher.answer_options(study),
        facts=lambda w, input: teacher.known_facts(study, input.facts),
    message:
        "Score the teacher on {wildcards.benchmark}"
    shell:
        "python -m falsepromise.benchmarks.run"
        " --benchmark {wildcards.benchmark:q}"
        " {params.asked}"
        " {params.questions}"
        " --name teacher"
        " {params.options}"
        " --seed {params.seed}"
        " {params.teacher}"
        " {params.facts}"
        " {resources.limits}"
        " --output {output:q}"
        " 2>&1 | tee {log:q}"


# They mostly wait for the teacher. Only the machine that runs Snakemake has its key and access to its server.
localrules:
    nq_synthetic,
    tldr_synthetic,
    answer,
    score_teacher,
