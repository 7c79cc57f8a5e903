-- users.email becomes users.email_address. A rename would break whatever runs, so both columns exist
-- for a while and a trigger keeps them equal, whichever of them a release writes.
ALTER TABLE users ADD COLUMN email_address text;

CREATE FUNCTION users_sync_email() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            NEW.email_address := coalesce(NEW.email_address, NEW.email);
            NEW.email := NEW.email_address;
        ELSIF NEW.email_address IS DISTINCT FROM OLD.email_address THEN
            NEW.email := NEW.email_address;
        ELSE
            NEW.email_address := NEW.email;
        END IF;
        RETURN NEW;
    END
    $$;

CREATE TRIGGER users_sync_email
    BEFORE INSERT OR UPDATE OF email, email_address ON users
    FOR EACH ROW EXECUTE FUNCTION users_sync_email();
