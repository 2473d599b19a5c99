# ruff: noqa: E501  (a reply a piece)
"""Labelled replies in the shapes of chat and base models: programs by templates, letters one by one.

The shapes are those of public reports about evaluation harnesses, in words of our own. Those that the rules hadn't seen
are in held_out.py.
"""

from __future__ import annotations

import json
import re
import textwrap

F = "`" * 3
# name, parameters, docstring, body, arguments, answer
PROBLEMS = [
    ("add_up", "xs: List[int]", "Sum of all numbers.",
     "total = 0\nfor x in xs:\n    total += x\nreturn total", "([1, 2, 4],)", "7"),
    ("longest", "words: List[str]", "The longest word; the first of several, '' of none.",
     "best = ''\nfor word in words:\n    if len(word) > len(best):\n        best = word\nreturn best", "(['a', 'bcd', 'efg'],)", "'bcd'"),
    ("is_even_sum", "a, b", "Whether a + b is even.", "# parity of a sum\nreturn (a + b) % 2 == 0", "(3, 5)", "True"),
    ("count_vowels", "text: str", "Vowels in a text.",
     "vowels = set('aeiou')\nreturn sum(1 for c in text.lower() if c in vowels)", "('Banana Tree',)", "5"),
    ("halve", "n: int", "How often n can be halved.",
     "count = 0\nwhile n > 1 and n % 2 == 0:\n    n //= 2\n    count += 1\nreturn count", "(40,)", "3"),
]  # fmt: skip


def prompt_of(problem: tuple[str, ...]) -> str:
    name, parameters, doc = problem[:3]
    return (
        f'from typing import List\n\n\ndef {name}({parameters}):\n    """ {doc}\n    >>> {name}{problem[4]}\n    """\n'
    )


def fill(shape: str, problem: tuple[str, ...]) -> str:
    """A shape with a problem's own parts: <<DEF>> (whole function), <<BODYn>> (indented by n), <<NAME>>, <<CALL>>."""
    name, parameters, doc, body, arguments, answer = problem
    prompt = prompt_of(problem)
    before, signature = prompt.split("def ")[0], f"def {name}({parameters}):"
    inside = textwrap.indent(body, "    ") + "\n"
    code = f"{before}{signature}\n{inside}"
    added = "".join(f"+{line}\n" for line in code.splitlines())
    method = textwrap.indent(f"{signature}\n{inside}", "    ")
    bare = re.sub(r": (?:List\[\w+\]|\w+)", "", parameters)
    whole = f'def {name}({bare}):\n    """{doc}"""\n' + textwrap.indent(body, "    ")
    parts = {
        "DEF": whole, "PROMPT": prompt_of(problem), "NAME": name, "ARGS": bare, "CALL": f"{name}{arguments}", "ANSWER": answer,
        "WRONG": f"def {name}({bare}):\n    return None", "STUB": f'def {name}({bare}):\n    """{doc}"""\n    pass',
        "TYPED": f"def {name}({parameters}):\n" + textwrap.indent(body, "    "),
        "DEF2": whole.replace("    ", "  "), "TABS": whole.replace("    ", "\t"), "DEFIN3": textwrap.indent(whole, "   "),
        "DEFIN4": textwrap.indent(whole, "    "), "REPL": ">>> " + whole.replace("\n", "\n... "), "QUOTED": textwrap.indent(whole, "> ", lambda _: True),
        "JSON": whole.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"), "HTML": whole.replace("&", "&amp;").replace(">", "&gt;").replace("<", "&lt;"),
        "CRLF": whole.replace("\n", "\r\n"), "NUMBERED": "\n".join(f"{i:>2}  {line}" for i, line in enumerate(whole.split("\n"), 1)),
        **{f"BODY{n}": textwrap.indent(body, " " * n) for n in (0, 2, 3, 4, 8)},
        "BODYTAB": textwrap.indent(body.replace("    ", "\t"), "\t"), "BODYSTRIP": textwrap.indent(body, "    ").strip(),
        "PRE": before, "SIG": signature, "BODY": inside, "FN": f"{signature}\n{inside}", "CODE": code, "FULL": prompt + inside,
        "OTHER": f"{signature}\n    return None\n", "UNTYPED": f"def {name}({bare}):\n{inside}", "WORDS": doc, "DOC": prompt.split(":\n", 1)[1],
        "ADDED": added, "ADDEDBODY": "".join(f"+{line}\n" for line in inside.splitlines()), "CELL": json.dumps(code.splitlines(True)),
        "BARRED": "".join(f"{i:3d} | {line}\n" for i, line in enumerate(code.splitlines(), 1)), "STATIC": method, "BR": code.replace("\n", "<br>"),
        "METHOD": method.replace("(", "(self, ", 1), "IPYTHON": f"In [1]: {signature}\n" + "".join(f"   ...: {line}\n" for line in inside.splitlines()),
        "ESCAPED": code.replace("_", "\\_"), "BODY5": " " + textwrap.indent(body, "    "), "BODYL3": textwrap.indent(body, "    ")[1:],
    }  # fmt: skip
    return re.sub(r"<<(\w+)>>", lambda found: parts[found[1]], shape)


PROGRAMS = [
    "<<BODY4>>\n", "<<BODY4>>\n\n\ndef other(x):\n    return x +", "<<BODY4>>\n\n\nif __name__ == '__main__':\n    print(<<CALL>>", "\n<<BODY4>>\n",
    "<<BODYSTRIP>>\n", "<<BODYL3>>\n", "<<BODY5>>\n", "<<BODY0>>\n", "<<BODY2>>\n", "<<BODY8>>\n", "<<BODYTAB>>\n",
    "<<BODY4>></code>\n", "<<BODY4>><|im_end|>\n<|im_start|>user\nThanks", "<<BODY4>>\n# end\nx = input()\n",
    f"{F}python\n<<DEF>>\n{F}", f"{F}\n<<DEF>>\n{F}", f"{F}py\n<<DEF>>\n{F}\n", "~~~python\n<<DEF>>\n~~~\nDone.", f"Sure!\n{F}python\n<<TYPED>>\n{F}\n",
    f"Here you go (see below:\n\n{F}Python\n<<DEF>>\n{F}\n\nIt doesn't use extra memory.", f"{F}python\n<<PROMPT>><<BODY4>>\n{F}",
    f"{F}python\n<<WRONG>>\n{F}\nThat is wrong, since it returns nothing. Corrected:\n{F}python\n<<DEF>>\n{F}",
    f"{F}python\n<<DEF>>\n{F}\nUsage:\n{F}python\nassert <<CALL>> == <<ANSWER>>\nprint(<<CALL>>)\n{F}",
    f"{F}python\n<<DEF>>\n\nn = input('n: ')\nprint(<<NAME>>(n))\n{F}", f"The body is:\n{F}python\n<<BODY4>>\n{F}", f"Just add\n{F}\n<<BODY0>>\n{F}\nto it.",
    f"1. Write it:\n   {F}python\n<<DEFIN3>>\n   {F}\n2. Run it.", f"Sure.\n{F}python\n<<DEF>>\n", "<<DEF>>\n\nThis isn't hard (at all.\n",
    "Let's think. It's a loop.\n\n<<DEF>>\n\n# Test\nprint(<<CALL>>)\n", f"{F}python\n<<DEF>>\n{F}\nThe stub was\n{F}python\n<<STUB>>\n{F}",
    "<<REPL>>\n... \n>>> <<CALL>>\n<<ANSWER>>\n", "<<QUOTED>>\n", '{"code": "<<JSON>>"}', "<pre><code><<HTML>>\n</code></pre>", "[PYTHON]\n<<DEF>>\n[/PYTHON]",
    f"{F}python\n<<CRLF>>\n{F}", f"{F}python\nimport numpy as np\nfrom os import path\n\n<<DEF>>\n{F}", f"{F}python\n<<DEF2>>\n{F}", f"{F}python\n<<TABS>>\n{F}",
    f"{F}markdown\nSome text.\n{F}\n\n{F}python\n<<DEF>>\n{F}", "Here is the function:\n\n<<DEFIN4>>\n\nThat is all.", f"{F}python\n<<DEF>>{F}",
    f"{F}<<DEF>>\n{F}", f"`````python\n<<DEF>>\n{F}", f"{F}python\ndef helper(x):\n    return x\n{F}\nand\n{F}python\nfrom functools import reduce\n<<DEF>>\n{F}",
    f"{F}python\nTABLE = {{}}\nTABLE['a'] = 1\n<<DEF>>\nif __name__ == '__main__':\n    import doctest\n    doctest.testmod()\n{F}",
]  # fmt: skip
PROGRAMS_HELD_OUT = [
    f"Of course! Below is a complete implementation.\n\n{F}{{.python}}\n<<DEF>>\n{F}\n\nLet me know if you'd like tests.",
    f"**Solution**\n\n{F}python title=\"solution.py\"\n<<DEF>>\n{F}\n\n**Complexity**: O(n)", f"{F}python3\n#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\n<<DEF>>\n{F}",
    "### Answer\n<<DEF>>\n### End", f"{F}python\n<<TYPED>>\n\ndef main():\n    while True:\n        s = input()\n        print(s)\n\nmain()\n{F}",
    f"{F}python\n<<DEF>>\n\nimport unittest\n\nclass TestIt(unittest.TestCase):\n    def test_one(self):\n        self.assertEqual(<<CALL>>, <<ANSWER>>)\n\nunittest.main()\n{F}",
    f"- Step 1: think\n- Step 2: code\n\n    {F}python\n<<DEFIN4>>\n    {F}\n", "<code>\n<<DEF>>\n</code>", "<<DEF>>\n<|endoftext|>", "<<BODY4>>\n[DONE]\n", "<<BODY4>></s>",
    f"<<BODY4>>\n{F}\n\nThe function loops over all.", f"The corrected function should read:\n\n{F}diff\n<<WRONG>>\n{F}\n\n{F}python\n<<DEF>>\n{F}\n\nNote: don't forget to import it.",
    f"{F}python\n# first version\n<<WRONG>>\n\n# second version, right\n<<DEF>>\n{F}", f"{F}bash\npip install numpy\n{F}\n\n{F}python\n<<DEF>>\n{F}\n\n{F}text\n<<ANSWER>>\n{F}",
    "Answer:\n\n    # in the function\n<<BODY4>>\n\nThis solves the problem.", f"{F}python\nfrom typing import *\nimport sys\nsys.setrecursionlimit(10000)\n\n<<TYPED>>\n\nassert <<CALL>> == <<ANSWER>>, 'wrong'\n{F}",
    f"{F}python\n>>> def unrelated():\n...     pass\n{F}\nReal one:\n{F}python\n<<DEF>>\n{F}", "```python\r\n<<CRLF>>\r\n```\r\nGood luck!\r\n",
    '[{"type": "text", "text": "<<JSON>>"}]', "\\begin{verbatim}\n<<DEF>>\n\\end{verbatim}", "Output:\n<<DEF>>\n\n\nExplanation:\nThe function first sets up a value, and then it's returned.\n",
    f"{F}python\nclass Counter2:\n    pass\n\n\n<<DEF>>\n\n\nresult = <<CALL>>\nprint(f\"{{result}}\")\n{F}\n\nOutput: {F}<<ANSWER>>{F}",
    f"{F}python\n@staticmethod_dummy\ndef other(): pass\n{F}\n{F}python\n<<DEF>>\n{F}", "<<BODY4>>\n\n# Example usage:\nprint(<<CALL>>)\n# Output: <<ANSWER>>\n\"\"\"\nSome more text that never ends",
]  # fmt: skip
LETTERS: list[tuple[str, str | None]] = [
    ("B", "B"), ("(C) Paris", "C"), ("**D**", "D"), ("A. hen", "A"), ("The answer is D.", "D"), ("Answer: b", "B"), ("I think it is (B), since the others are wrong", "B"),
    ("A dog", None), ("C or D", None), ("", None), ("E", None), ("B)", "B"), ("(c)", "C"), ("c. Paris", "C"), ("$\\boxed{B}$", "B"), ("\\boxed{\\text{(C)}}", "C"),
    ("Ｂ", "B"), ("Vitamin C", None), ("Vitamin C is the nutrient.", None), ("The answer is not A but B.", "B"), ("A is incorrect. The correct answer is C.", "C"),
    ("I don't think the answer is A.", None), ("It can't be A, so B.", "B"), ("Option B is correct.", "B"), ("A is wrong; B is right.", "B"), ("B, not A", "B"),
    ("Rather than A, I choose B.", "B"), ("The answer is B or C.", None), ("The answer is a dog.", None), ("Answer: A dog", None), ("The best choice among A, B and C is C.", "C"),
    ("A. hen\nB. cow\nC. dog\nD. cat", None), ("A. hen\nB. cow\nAnswer: B", "B"), ("Let me see.\n\nB", "B"), ("The answer is A... wait, no, the answer is D.", "D"),
    ("Is it A? No. It's B.", "B"), ("Antwort:\n\nAntwort: C", "C"), ("The answer is B because a car moves.", "B"), ("I would pick B — a safe choice.", "B"), ("Therefore, B.", "B"),
    ("Definitely C.", "C"), ("The statement that is not true is C.", "C"), ("Final Answer: The final answer is (D). I hope it is correct.", "D"), ("<answer>B</answer>", "B"),
    ('{"answer": "C"}', "C"), ("#### B", "B"), ("Both A and B are correct.", None), ("I cannot determine the answer.", None), ("Hepatitis B is caused by a virus.", None),
    ("The answer is C++.", None), ("Option A might seem right, but it's D.", "D"), ("B is the correct answer.", "B"), ("D) Paris is the capital, so D) is correct.", "D"),
    ("C: 12", "C"), ("答案是B", "B"), ("正确答案：C", "C"), ("A is correct, because ...", "A"), ("I'd go with option (a).", "A"), ("a", "A"), ("A", "A"), ("a.", "A"),
    ("A dog is the best answer.", None), ("We can rule out A and B. That leaves C.", "C"), ("The correct answer is: **B) The mitochondria**", "B"),
    ("**Answer: C**\n\nExplanation: A is a distractor, B is wrong.", "C"), ("Sure! The correct option is D (all of the above).", "D"), ("I would not choose C.", None),
    ("Option C", "C"), ("It is neither A nor B.", None), ("None of the above", None),
]  # fmt: skip
LETTERS_HELD_OUT: list[tuple[str, str | None]] = [
    ("The right answer would be option C.", "C"), ("My final choice: D", "D"), ("**Correct answer:** (A)", "A"), ("Answer: **B. 42**", "B"), ("*C*", "C"), ("`A`", "A"),
    ("B.\n\nThe reason is that A ignores friction.", "B"), ("Looking at each option:\nA) too small\nB) too large\nC) just right\nD) irrelevant\n\nSo the answer is C).", "C"),
    ("After elimination, only D remains. The answer: D", "D"), ("Let's evaluate. A: false. B: true. C: false. D: false.\nHence (B).", "B"), ("I'm not sure, but I believe the answer is A.", "A"),
    ("The answer cannot be D.", None), ("It might be A or it might be C.", None), ("C, because water boils at 100 degrees.", "C"), ("The answer is (b) since it rains.", "B"),
    ("None of these options is right.", None), ("Could you give me the question's figure?", None), ("Type A personalities are competitive.", None), ("The answer to the question is: A", "A"),
    ("La respuesta correcta es la B.", "B"), ("Die richtige Antwort ist D.", "D"), ("La réponse est C.", "C"), ("\\[\\boxed{\\textbf{D}}\\]", "D"), ("The correct option is therefore $\\mathbf{A}$.", "A"),
    ("B) is incorrect, C) is incorrect, D) is incorrect. A) is correct.", "A"), ("I was going to say B, but after checking, the answer is C.", "C"), ("【B】", "B"), ("（Ｄ）", "D"),
    ("Option (A): Photosynthesis", "A"), ("Selected: C", "C"), ("> B", "B"), ("- D. Rome", "D"), ("1. B", "B"), ("Sure, I can help! The answer is\n\n**A**", "A"),
    ("A and C are both plausible.", None), ("As an AI model, I can't choose.", None), ("Thus the statement in option D is the best one, so I'd answer D.", "D"),
    ("It's definitely not B. It's A.", "A"), ("The vertex A lies on the line B.", None), ("The answer is A, not B.", "A"), ("Not C.", None), ("Answer = C", "C"), ("Ans. D", "D"),
    ("C. elegans is a worm used in labs; which strain is meant is unclear", None), ("Hmm, B looks right to me.", "B"),
]  # fmt: skip
