-- The table that examples/sinks/postgres.properties fills, and the view that people use: rule R3 of docs/readers.md
-- is kept by the view, at each use.
CREATE TABLE personalized_offers (
  pseudonym text PRIMARY KEY,
  purpose text NOT NULL,
  segments text[] NOT NULL,
  basis text NOT NULL,
  decided_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  rulebook text NOT NULL
);

CREATE VIEW personalized_offers_now AS
  SELECT pseudonym, segments, basis, expires_at FROM personalized_offers WHERE expires_at > now();

-- Who uses segments sees the view alone.
CREATE ROLE offers_readers NOLOGIN;
GRANT SELECT ON personalized_offers_now TO offers_readers;
