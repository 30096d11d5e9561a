"""INT8: activation ranges, explicit Q/DQ nodes in the ONNX, and TensorRT's older calibration cache. No torch.

A range is the largest size |x| that a tensor is given; its scale is range / 127, its zero point 0.
"""

from taolite.quant.qdq import insert_qdq, layers, quantised_tensors

__all__ = ["insert_qdq", "layers", "quantised_tensors"]
