-- Sign-in looks users up by the new column, and ON CONFLICT (email_address) needs a unique index.
-- It can refuse no row that users_email_key lets in: the trigger keeps the columns equal.
CREATE UNIQUE INDEX CONCURRENTLY users_email_address_key ON users (email_address);
