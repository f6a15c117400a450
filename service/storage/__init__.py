"""Object storage: S3, GCS and folders, through obstore, which reads its credentials from the environment."""
