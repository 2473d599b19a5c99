"""The workflow, from its repository's root: it is in workflow/Snakefile, where the catalogue expects it."""

# What `include:` does, but for the default target, which is the included one's.
workflow.include("workflow/Snakefile", overwrite_default_target=True)
