"""Jobs: accepted work, kept in Redis until it is computed and its result is fetched."""
