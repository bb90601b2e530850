"""The bytes of elements: in Redis, or in object storage."""
