"""The HTTP routes: `transform` and `jobs` for images, `operations` for operators, `auth` for keys and quotas."""
