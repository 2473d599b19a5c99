"""Style on real replies: people's and ChatGPT's answers to the same questions (HC3)."""

import json

from falsepromise.style.compare import compare, summarise


def test_chatgpt_and_people_differ_in_style_as_known(real_data):
    rows = [json.loads(line) for line in real_data("hc3/all_5372_to_6185.jsonl").open(encoding="utf-8")]
    rows = [row for row in rows if row.get("human_answers") and row.get("chatgpt_answers")]
    assert len(rows) > 800
    teacher = {str(i): row["chatgpt_answers"][0] for i, row in enumerate(rows)}
    people = {str(i): row["human_answers"][0] for i, row in enumerate(rows)}
    metrics, _ = summarise(compare(people, teacher))
    itself, _ = summarise(compare(teacher, teacher))
    assert 0.20 < metrics["unigram_intersection"]["value"] < 0.33, "Table 2 has 0.195 for LLaMA without imitation"
    assert metrics["list_agreement"]["value"] < 0.2
    assert metrics["length_correlation"]["ci95"][1] < 0.5
    assert itself["list_agreement"]["value"] == itself["unigram_intersection"]["value"] == 1.0
