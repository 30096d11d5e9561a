"""Where a run sends its curves and pictures: TensorBoard's event files, W&B, ClearML, MLflow.

`base` defines a sink; every other module is one, and imports its library when it is opened.
"""
