"""Who calls: API keys, scopes and quotas."""
