"""Export of a surrogate to ONNX, TensorFlow, PyTorch and NumPy."""
