"""A finished or running run as one page: reads records, never live objects."""
