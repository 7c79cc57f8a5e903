-- Rows from before the trigger.
-- pawl:backfill table=users batch=1000
UPDATE users
SET email_address = email
WHERE email_address IS DISTINCT FROM email;
