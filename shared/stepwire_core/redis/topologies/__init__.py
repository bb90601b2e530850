"""Stores on more than one server: a primary that Sentinels know, and a Redis Cluster."""
