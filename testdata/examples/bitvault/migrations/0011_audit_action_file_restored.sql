-- A value of an enum can be used only after the transaction that added it, hence a file of its own.
ALTER TYPE audit_action ADD VALUE 'file_restored' AFTER 'file_deleted';
