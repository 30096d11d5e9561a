"""Many runs at once: listed, compared, repeated, and cleared away. Nothing here loads torch but `rerun`."""
