-- Nightly. What expired is invisible in the view; this removes it from the disk, too. It is what is left of keys whose
-- tombstone the sink missed because it stood still for longer than delete.retention.ms.
DELETE FROM personalized_offers WHERE expires_at <= now();
