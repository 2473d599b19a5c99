"""Decide by a fixed rule whether a prompt is about programming (section 4.1, footnote 2).

A prompt counts as coding if any of these holds for its text, without web addresses:

1. it has a fenced code block, or a line that is program code (a statement, a tag, a shell prompt);
2. it contains a term of programming (`python`, `regex`, `stack trace`, `git`, ...), or asks for or about code
   (`write ... code`, `this code`);
3. it contains a word for a program with other meanings too (`function`, `script`, `bug`, ...), and
   another such word, or two words of computing (`returns`, `array`, `folder`, ...).

In a long prompt (pasted documents), rules 2 and 3 check only the beginning and the end, where the task is.

If there is a reply, a fenced code block in it also makes the exchange coding, because the raters would have to review
the code.

Measured on 114 first queries of cleaned ShareGPT dialogues (37 are coding), drawn after the rule was fixed and labelled
by hand by one person: precision 0.90 (0.76 to 0.96) and recall 0.95 (0.82 to 0.99)
with the reply; 0.87 and 0.70 by the query alone. See `benchmarks/curation_coding.py`.
"""

from __future__ import annotations

import re

_LONG, _BEGINNING, _END = 900, 600, 300  # characters
_LINE = 300  # characters of a line that are checked for code: the time grows with their square
_ADDRESS = re.compile(r"https?://\S+|\bwww\.\S+")
_FENCE = re.compile(r"```")
_CODE_LINE = re.compile(
    r"""(?mx)
    ^[ \t]*+(?:
        (?:def|class)\s+\w+\s*[(:]                       # Python
      | (?:import|from)\s+[\w.]+(?:\s+import\s+\w+)?\s*;?\s*$
      | \#include\s*[<"]
      | (?:public|private|protected|static|const|let|var|func|fn|function)\s+[\w<>\[\]]+\s*[\w(=].*[;{)]\s*$
      | (?:if|for|while|switch)\s*\(.*\)\s*\{
      | (?i:select\s.+\sfrom\s|insert\s+into)
      | (?:INSERT\s+INTO|CREATE\s+TABLE|ALTER\s+TABLE|UPDATE\s+\w+\s+SET)\b
      | (?:\$|>>>)\s+\w+
      | <(?:!DOCTYPE|html|head|body|div|script|style|form|input|svg|table|template)\b[^>]*>
      | (?:return|throw|await|yield)\b.*;\s*$
      | .*\)\s*(?:=>)?\s*\{\s*$
      | \}\s*(?:else\b.*)?[;,)]*\s*$
    )
    | \b\w+\.\w+\([^)\n]*\)\s*;                            # a call that ends in a semicolon
    | (?<!`)`[\w.$(){}\[\]<>:=/-]+`(?!`)                  # a name in backticks
    | Traceback\s\(most\srecent\scall\slast\)
    """
)
_ONLY_PROGRAMMING = re.compile(
    r"""(?ix)(?<![\w@])(?:
      python3?|java|javascript|typescript|node\.?js|react(?:\.?js|\snative)|next\.?js|vue(?:\.?js)?|angular(?:js)?
    | jquery|php|laravel|django|flask|fastapi|ruby\son\srails|golang|kotlin|scala|haskell|fortran|cobol|matlab
    | c\+\+|c\#|\.net|asp\.net|unity3d|visual\sbasic|vba|powershell|bash\sscript|shell\sscript|linux|ubuntu|sql
    | mysql|postgres(?:ql)?|sqlite|mongodb|firebase|firestore|html5?|css3?|tailwind(?:css)?|bootstrap|json|yaml|xml
    | regex|regexp|regular\sexpressions?|git|github|gitlab|docker(?:file)?|kubernetes|terraform|ansible|jenkins|nginx
    | pandas|numpy|pytorch|tensorflow|keras|scikit-learn|opencv|selenium|webpack|npm|pip\sinstall|pygame|tkinter
    | apps?\s?script|arduino|esp32|solidity|smart\scontracts?|graphql|rest(?:ful)?\sapi|openapi|webhooks?|websocket
    | stack\strace|stack\soverflow|compiler|debugging|refactor(?:ing)?|unit\stests?|leetcode|pseudo-?code
    | source\scode|code\ssnippets?|codebase|data\sstructures?|time\scomplexity|linked\slist|binary\ssearch
    | ffmpeg|autohotkey|latex|mermaid\sdiagram|plantuml|swiftui|ios\sswift|android\sstudio|rust(?:lang)?\scode
    | chrome\sextension|userscript|crontab|ssh|localhost|kernel\smodule|assembly\scode|verilog|vhdl|spring\sboot
    | hibernate|maven|gradle|dataframe|s3\sbucket|kubectl|oauth2?|sso|hackerrank|langchain|tcp\s(?:server|client)
    | react\s(?:apps?|components?|hooks?|router|query)|in\sreact|cisco|localstorage|microservices?
    | software\s(?:architecture|development|engineering)|clean\sarchitecture|design\spatterns?|\w+\.(?:py|js|ts|cpp|sh)
    | (?:in|using|with)\s(?:c|rust|ruby|perl|lua|dart)|(?:c|rust|go|perl)\s(?:code|program|function)
    | (?:this|my|your|following|the|some|write|any|sample|example)\s(?:\w+\s)?code(?!\sof)
    | (?:write|create|make|generate|give\sme)\s[^.\n]{0,60}\b(?:code|function\s(?:that|to|which|in))
    | vs\s?code|visual\sstudio|npx|ec2|scala-[\w-]+|(?:you|to|i|we)\scode
    | aws\slambda|cloudformation|excel\s(?:formula|macro)|google\ssheets?
    )(?![\w-])"""
)
_PROGRAMS = re.compile(
    r"(?i)\b(?:code|coding|coder|codes|script|scripts|program|programming|programmer|algorithm|app|application"
    r"|software|developer|frontend|front-end|backend|back-end|api|apis|sdk|bug|function|library|framework|web ?site)\b"
)
_COMPUTING = re.compile(
    r"(?i)\b(?:write|implement|create|build|run|return|returns|input|output|class|method|methods|variable|variables"
    r"|array|arrays|string|strings|loop|loops|list|object|objects|parameter|parameters|argument|arguments|query"
    r"|server|client|database|table|column|columns|row|rows|file|files|folder|command|terminal|error|errors|exception"
    r"|install|deploy|login|endpoint|endpoints|token|browser|url|button|page|component|components|module|package)\b"
)


def is_coding(query: str, reply: str = "") -> bool:
    """Whether a prompt, or the reply to it, is about programming by the module's rule."""
    if _FENCE.search(query) or _FENCE.search(reply):
        return True
    query = _ADDRESS.sub(" ", query)
    if _CODE_LINE.search("\n".join(line[:_LINE] for line in query.splitlines())):
        return True
    task = query if len(query) <= _LONG else f"{query[:_BEGINNING]}\n{query[-_END:]}"
    if _ONLY_PROGRAMMING.search(task):
        return True
    programs = {word.lower() for word in _PROGRAMS.findall(task)}
    computing = {word.lower() for word in _COMPUTING.findall(task)}
    return bool(programs & _WRITTEN) and (len(programs) >= 2 or len(computing) >= 2)


_WRITTEN = {"code", "coding", "coder", "script", "scripts", "programming"}
_WRITTEN |= {"algorithm", "function", "api", "apis", "bug"}
