-- Plans are the billing system's since r2, which still shows the old one.
-- pawl:phase contract
ALTER TABLE users DROP COLUMN legacy_plan;
