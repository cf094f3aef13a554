"""A trained net for other programs: one graph from grey values to probabilities, as ONNX or as a program of torch's."""
