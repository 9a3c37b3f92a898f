"""The network: tokenizer, backbone, mixers and heads; nothing here knows of datasets or training."""
