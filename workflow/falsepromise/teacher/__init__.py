"""The teacher's answers: asked over the OpenAI protocol, stored, each paid for once."""
