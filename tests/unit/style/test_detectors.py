"""The detectors on hand-labelled cases of every kind, and on what only looks like one."""

import time

import pytest

from falsepromise.style.detectors import has_list, has_summary_paragraph, list_kind

LISTS = {
    "numbered": [
        "Steps:\n1. Mix.\n2. Bake.",
        "1) Mix\n2) Bake",
        "(1) Mix\n(2) Bake",
        "1: Mix\n2: Bake",
        "1.Mix\n2.Bake",
        "**1. Mix**\nWell.\n\n**2. Bake**\nHot.",
        "### 1. Mix\ntext\n### 2. Bake\ntext",
        "1. First\n```python\nprint(1)\n```\n2. Then",
        "1. First\n```sh\nls\n```\n1. Then",
        "1️⃣ Mix\n2️⃣ Bake",
        "1 - Mix\n2 - Bake",
        "1- Mix\n2- Bake",
        "  9. nine\n  10. ten",
        "1.1. Sleep.\n1.2. Eat.",
        "You should 1. mix it, 2. bake it and 3. eat it.",
        "> 1. Mix\n> 2. Bake",
        "1. Mix\r\n2. Bake\r\n",
    ],
    "bulleted": [
        "- a thing\n- another",
        "* a thing\n* another",
        "+ a thing\n+ another",
        "Things:\n\n• one\n• two",
        "•one\n•two",
        "‣ one\n‣ two",
        "▪ one\n▪ two",
        "✅ Fast\n✅ Safe",
        "✔️ Fast\n✔️ Safe",
        "→ go\n→ stop",
        "- **Cost**: low\n\n  It is cheap.\n\n- **Speed**: high",
        "Text\n    - nested one\n    - nested two",
        "-\n\nFear is a basic emotion.\n\n-\n\nDopamine is released.",
        "*Qubits: the parts.\n\n*Gates: the steps.",
    ],
    "lettered": ["a. one\nb. two", "A) one\nB) two", "(a) one\n(b) two", "i. one\nii. two", "I. One\nII. Two"],
    "labelled": [
        "Step 1: Mix.\nStep 2: Bake.",
        "**Day 1:** rest\n\n**Day 2:** run",
        "Option 1 - stay\nOption 2 - go",
        "Slide 1: In\nText.\n\nSlide 2: Out\nText.",
    ],
    "ordinal": [
        "First, mix it. Second, bake it.",
        "There are two ways. Firstly, walk.\n\nSecondly, run.",
        "First of all, listen. Second of all, talk.",
    ],
}
NO_LISTS = [
    "",
    "Just a sentence.",
    "- a lone item",
    "1. a lone item",
    "*Sighs* It is late.\n*Yawns* Good night.",
    "3.5 litres of milk\n4.2 litres of cream",
    "1990. It was a good year.\n1991. It was not.",
    "In\n1990. That year\nended.",
    "3.5 is a number\n4.5 is another",
    "3. Mai war ein Tag.\n17. Mai auch.",
    "```yaml\n- a\n- b\n1. c\n2. d\n```",
    "~~~\n1. c\n2. d\n~~~",
    "```\n- a\n- b",
    "1 - 1 = 0\n2 - 1 = 1",
    "Verse 1:\nla la la\n\nVerse 2:\nla la",
    "Person 1: Hello!\nPerson 2: Goodbye!",
    "Version 2.1 came first.\nVersion 2.2 was later.",
    "— Hello, he said.\n— Goodbye, said she.",
    "– Hello.\n– Goodbye.",
    "| a | b |\n| --- | --- |\n| 1. x | 2. y |\n| - | - |",
    "| Question | Answer |\n| --- | --- |\n| 1. Who? | I |\n| 2. What? | It |\n| 3. Why? | So |",
    "Above\n\n---\n\nBelow\n\n---\n\nEnd",
    "* * *\ntext\n* * *",
    "*emphasis* here\n*emphasis* there",
    "-5\n-7",
    "- 5\n- 7",
    "A. Einstein said so.\nC. Darwin too.",
    "First, mix it. Then bake it.",
    "At first, we walked. The second, we ran.",
    "Second, bake. First, mix.",
    "♪ la la la ♪\n♪ la la ♪",
    "├── src\n├── docs",
    "Use -v for more.\n--quiet for less.",
    "The years 1. and 2. were good.",
    "5. e4 e5\n12. Nf3",
    "Prices rose 3) and fell",
]

SUMMARIES = [
    "Apples are red.\n\nIn summary, apples are a fine fruit.",
    "1. Mix\n2. Bake\n\nBy following these steps, you will have a cake.",
    "1. Mix\n2. Bake\nOverall, it is an easy cake to make.",
    "Apples.\n\nPears.\n\n**In conclusion**, both fruits are good.",
    "Apples.\n\n## Conclusion\n\nBoth fruits are good to eat.",
    "Apples.\n\nConclusion\n----------\n\nBoth fruits are good to eat.",
    "Apples are red.\n\nTo sum up, eat more of them.\n\nI hope this helps! Let me know if you have questions.",
    "- a\n- b\n\nPutting it all together, these are the fruits to buy.",
    "Slide 1: Start\nApples.\n\nSlide 2: Conclusion\nBoth fruits are good to eat.",
    "Apples.\n\nVI. Conclusion\n\nBoth fruits are good to eat.",
    "Apples are cheap. They rot.\n\nDespite these faults, apples are the best of fruits.",
    "Apples.\n\nWhile both are good, they differ. Ultimately, the choice is yours.",
    "- a\n- b\n\nWith these steps, you can bake a cake.",
    "```\ncode()\n```\n\nIn short, the function calls code.",
    "Some text.\n\nTL;DR: eat more apples every day.",
    "- a\n- b\n\n**Overall, it is good fruit for all.**",
    "3x = 30\n\nTherefore, x = 10.",
    "f(2) = 40 - 1\n\nSo the value of f(2) is 39.",
    "40 * 5 = 200\n\nSo, if each of them eats five, we need 200 apples.\n\nI hope this helps!",
    "Apples come first.\nPears follow.\nBased on this, there are about 200 of them.",
    "- a\n- b\n\nBy prioritizing both, we can make sure that nobody goes hungry.",
    "- a\n- b\n\nBy continuously practicing and improving upon these habits, one becomes a cook.",
    "- a\n- b\n\nFollowing these steps will help you bake.",
    "The queue has two stacks.\n\nThis way, the oldest item is always on top.",
    "Apples feed us.\n\nIt is impossible to say what else we would eat, but it is clear that apples matter.",
    "Hello.\nApples are red.\nIn conclusion, apples are a fine fruit.\nThanks for watching, and see you soon.",
    "\"A concert.\n\n\"Overall, the evening was a success.\"",
]
NO_SUMMARIES = [
    "",
    "In summary, apples are a fine fruit.",
    "Apples are red.\n\nPears are green.",
    "In summary, apples are good.\n\nPears, though, are better than those.",
    "Apples.\n\n- Overall, it is a fine fruit to eat\n- In summary, so is this one",
    "Apples.\n\n1. Overall quality counts for much here",
    "Text.\n\n```\nIn summary, this is code inside a fence\n```",
    "Apples.\n\nI hope this helps!",
    "- a\n- b\n\nThese are just a few examples of fruit.",
    "- a\n- b\n\nNote that this is only a basic example, which you may want to extend.",
    "- a\n- b\n\nRemember, fruit is good for you and your friends.",
    "Slide 1: Start\nApples.\n\nSlide 2: Conclusion\n- one\n- two",
    "Apples.\n\nConclusion:",
    "Apples.\n\nThe overall quality of pears is better than that.",
    "Apples.\n\nSummarising the law is hard for anybody who tries.",
    "They fought.\n\nIn the end, the princess lived happily ever after.",
    "Apples.\n\n| Overall | it | is | good |",
    "Apples.\n\nLet me know if you want the overall picture.",
    "We sail at dawn.\n\nSo, my friends, hoist the colors high and let us be off!",
    "Apples.\n\nSo long, and thanks for all the fruit.",
    "Apples.\n\nBy noon the fruit was gone, and nobody could say where.",
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in LISTS.items() for text in texts])
def test_a_list_of_each_kind_is_found(kind, text):
    assert list_kind(text) == kind


@pytest.mark.parametrize("text", NO_LISTS)
def test_what_only_looks_like_a_list_is_none(text):
    assert not has_list(text)


@pytest.mark.parametrize("text", SUMMARIES)
def test_a_closing_summary_is_found(text):
    assert has_summary_paragraph(text)


@pytest.mark.parametrize("text", NO_SUMMARIES)
def test_other_endings_are_no_summary(text):
    assert not has_summary_paragraph(text)


@pytest.mark.parametrize(
    "part", ["a. ", "1. ", "\n", "`", "~", "**", "# ", "> ", " ", "First, ", "\t\n", "- \n", "- a\n\n"]
)
def test_long_replies_take_linear_time(part):
    begun = time.process_time()
    text = "Text.\n" + part * 50_000 + "\nFirst"
    has_list(text)
    has_summary_paragraph(text)
    assert time.process_time() - begun < 3
