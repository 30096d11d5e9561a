"""Many runs at once: listed, compared, swept, cleared away. To repeat one is a training: `stages.training.rerun`."""
