-- Answers under an Idempotency-Key were kept under a key stream of their own; now the vault alone seals them. What is
-- kept from before, for a day at most, cannot be read any more.
DELETE FROM idempotent_requests;
