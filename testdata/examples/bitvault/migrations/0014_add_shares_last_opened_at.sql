ALTER TABLE shares ADD COLUMN last_opened_at timestamptz;
