"""Get the teacher's answers over the OpenAI protocol, store them, and pay for each once."""
