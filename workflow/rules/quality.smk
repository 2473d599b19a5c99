"""Properties of the imitation data: diversity, categories, overlap with the benchmarks.

Takes: <results>/curation/clean/{pool}.jsonl, <results>/curation/mixtures/{mixture}.s{seed}.jsonl
Gives: <results>/curation/diversity/{pool}.json and {pool}.pairs.csv, pairs to read
       <results>/curation/categories/{pool}.by_teacher.json, Table 6 as the teacher sorts the queries
       <results>/benchmarks/overlap/{benchmark}/{mixture}.json
       results/figures/fig_diversity.{pdf,svg,png}, results/tables/overlap.*, results/tables/leaks.*
"""


rule diversity:
    input:
        queries="<results>/curation/clean/{pool}.jsonl",
    output:
        measure="<results>/curation/diversity/{pool}.json",
        pairs="<results>/curation/diversity/{pool}.pairs.csv",
    log:
        "<logs>/curation/diversity/{pool}.log",
    conda:
        ENVIRONMENT
    threads: costs.threads(study, "diversity")
    resources:
        **costs.needs(study, "diversity"),
    params:
        code=code("falsepromise.curation.diversity"),
    message:
        "Measure how alike the queries of {wildcards.pool} are"
    shell:
        "python -m falsepromise.curation.diversity"
        " --queries {input.queries:q}"
        " --output {output.measure:q}"
        " --pairs {output.pairs:q}"
        " > {log:q} 2>&1"


rule fig_diversity:
    input:
        diversity=[f"<results>/curation/diversity/{pool}.json" for pool in study.config.pools],
    output:
        pdf="<results>/figures/fig_diversity.pdf",
        png="<results>/figures/fig_diversity.png",
        svg=in_report("<results>/figures/fig_diversity.svg"),
    log:
        "<logs>/figures/fig_diversity.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.figures.fig_diversity", "paper/numbers.csv"),
        names=lambda w: quality.pool_labels(study),
        foot=lambda w: examples.foot(study),
    message:
        "Draw {output.pdf}"
    shell:
        "python -m falsepromise.figures.fig_diversity"
        " --diversity {input.diversity:q}"
        " --names {params.names:q}"
        " --foot {params.foot:q}"
        " --output {output.pdf:q}"
        " > {log:q} 2>&1"


rule categories_by_teacher:
    input:
        sheet="<results>/curation/{pool}.sheet.csv",
        facts=teacher.facts(study),
    output:
        filled="<results>/curation/categories/{pool}.by_teacher.csv",
        tally="<results>/curation/categories/{pool}.by_teacher.json",
    log:
        "<logs>/curation/categories/{pool}.log",
    conda:
        ENVIRONMENT
    resources:
        limits=teacher.limits(study),
    params:
        code=code("falsepromise.teacher.categorize", "prompts/categories.txt"),
        teacher=lambda w: teacher.answer_options(study),
        facts=lambda w, input: teacher.known_facts(study, input.facts),
        who=lambda w: quality.teacher_as_annotator(study),
    message:
        "Ask the teacher to sort queries of {wildcards.pool} into Table 6's categories"
    shell:
        "(python -m falsepromise.teacher.categorize"
        " --sheet {input.sheet:q}"
        " {params.teacher}"
        " {params.facts}"
        " {resources.limits}"
        " --output {output.filled:q}"
        " && python -m falsepromise.curation.annotate tally"
        " --sheet {output.filled:q}"
        " --allow-empty"
        " {params.who}"
        " --output {output.tally:q})"
        " > {log:q} 2>&1"


rule overlap:
    input:
        data=lambda w: benchmarks.data(study, w.benchmark),
        own_task=lambda w: benchmarks.own_task(study, w.benchmark),
        training=f"<results>/curation/mixtures/{{mixture}}.s{study.seed}.jsonl",
    output:
        "<results>/benchmarks/overlap/{benchmark}/{mixture}.json",
    log:
        "<logs>/benchmarks/overlap/{benchmark}/{mixture}.log",
    conda:
        ENVIRONMENT
    threads: costs.threads(study, "overlap")
    resources:
        **costs.needs(study, "overlap"),
    params:
        code=code("falsepromise.benchmarks.overlap"),
        asked=lambda w: benchmarks.asked(study, w.benchmark),
        own=lambda w: files.stamp(*benchmarks.own_files(study, w.benchmark)),
        questions=lambda w, input: benchmarks.questions(input.data),
    message:
        "Measure how close {wildcards.benchmark} comes to {wildcards.mixture}"
    shell:
        "python -m falsepromise.benchmarks.overlap"
        " {params.asked}"
        " {params.questions}"
        " --training {input.training:q}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule table_overlap:
    input:
        reports=[report for report, _, _ in quality.overlaps(study)],
    output:
        csv="<results>/tables/overlap.csv",
        html=in_report("<results>/tables/overlap.html"),
        md="<results>/tables/overlap.md",
        tex="<results>/tables/overlap.tex",
    log:
        "<logs>/tables/overlap.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.figures.table_overlap"),
        benchmarks=lambda w: [benchmark for _, benchmark, _ in quality.overlaps(study)],
        mixtures=lambda w: [mixture for _, _, mixture in quality.overlaps(study)],
    message:
        "Write {output.csv}"
    shell:
        "python -m falsepromise.figures.table_overlap"
        " --reports {input.reports:q}"
        " --benchmarks {params.benchmarks:q}"
        " --mixtures {params.mixtures:q}"
        " --output {output.csv:q}"
        " > {log:q} 2>&1"


rule table_leaks:
    input:
        study="<results>/study.json",
        scores=benchmarks.capabilities(study),
        reports=[report for report, _, _ in quality.overlaps(study)],
    output:
        csv="<results>/tables/leaks.csv",
        html=in_report("<results>/tables/leaks.html"),
        md="<results>/tables/leaks.md",
        tex="<results>/tables/leaks.tex",
    log:
        "<logs>/tables/leaks.log",
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.figures.table_leaks"),
        benchmarks=lambda w: [benchmark for benchmark, _ in quality.leaks(study)],
        mixtures=lambda w: [mixtures for _, mixtures in quality.leaks(study)],
    message:
        "Write {output.csv}"
    shell:
        "python -m falsepromise.figures.table_leaks"
        " --study {input.study:q}"
        " --scores {input.scores:q}"
        " --reports {input.reports:q}"
        " --benchmarks {params.benchmarks:q}"
        " --mixtures {params.mixtures:q}"
        " --output {output.csv:q}"
        " > {log:q} 2>&1"


localrules:
    categories_by_teacher,
    fig_diversity,
    table_overlap,
    table_leaks,
