# Jobs of no use but to be many: a number of them, of so many seconds each.
N, SECONDS = int(config.get("count", 5)), config.get("seconds", 1)


rule all:
    input:
        expand("out/{n}.txt", n=range(N)),


rule one:
    output:
        "out/{n}.txt",
    log:
        "logs/{n}.log",
    resources:
        mem_mb=500,
        runtime=5,
    params:
        seconds=SECONDS,
    shell:
        "echo {wildcards.n} >> started.txt; sleep {params.seconds}; echo done > {output:q} 2> {log:q}"
