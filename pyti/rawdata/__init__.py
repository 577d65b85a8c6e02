"""The raw data API: the inbox/outbox contract, and the stream between slave and guest."""
