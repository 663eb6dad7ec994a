-- Types, functions, dates, collations, JSON, blobs, expressions.
SELECT typeof(1), typeof(1.0), typeof('1'), typeof(x'00ff'), typeof(NULL), 9223372036854775807 + 1, 7 / 2, 7 % 3, 7.0 / 2, 1 << 40, ~5;
SELECT '10' + 5, '3 apples' * 2, 'a' || 1 || NULL, coalesce(NULL, 2), nullif(1, 1), iif(1 > 0, 'yes', 'no'), CAST('12.7' AS INT), CAST(3 AS TEXT);
SELECT substr('livepatch', 5), instr('livepatch', 'patch'), replace('aXbX', 'X', '-'), trim('  x '), hex('mend'), quote('it''s'), length('äöü'), unicode('€'), char(72, 105), printf('%05.2f|%-6s|%,d', 3.14159, 'left', 1234567);
SELECT date('2026-02-28', '+1 day'), datetime(0, 'unixepoch'), strftime('%Y-%j %H', '2026-11-24 13:45:00'), julianday('2000-01-01'), date('2024-01-31', 'start of month', '+1 month', '-1 day');
SELECT 'a' < 'B', 'a' < 'B' COLLATE NOCASE, 'abc' LIKE 'A_C', 'abc' GLOB 'a*', 'x' IN ('x', 'y'), 5 BETWEEN 1 AND 10, NULL IS NULL, NULL = NULL;
SELECT json_extract('{"a":[1,2,{"b":"c"}]}', '$.a[2].b'), json_array_length('[1,2,3]'), json_object('k', 1, 'l', json('[true]')), json_set('{"a":1}', '$.b', 2);
SELECT key, value, type FROM json_each('[10, "x", null, {"y": 1.5}]');
WITH RECURSIVE fib(n, a, b) AS (SELECT 1, 0, 1 UNION ALL SELECT n + 1, b, a + b FROM fib WHERE n < 80) SELECT n, a FROM fib WHERE n % 20 = 0;
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000) SELECT sum(x), avg(x), total(x * 0.5), count(DISTINCT x % 7), max(x % 13) FROM c;
SELECT abs(-5), round(2.567, 2), min(3, 1, 2), max('a', 'b'), sign(-3.5), 1e308 * 10, -1e308 * 10, 0.1 + 0.2;
CREATE TABLE blobs(k BLOB PRIMARY KEY, v) WITHOUT ROWID;
INSERT INTO blobs VALUES (x'01', zeroblob(4)), (x'0102', 'text'), (x'00', 1.5) ON CONFLICT DO NOTHING;
INSERT INTO blobs VALUES (x'00', 2) ON CONFLICT(k) DO UPDATE SET v = v + excluded.v;
SELECT hex(k), quote(v) FROM blobs;
SELECT * FROM nowhere;
SELECT nofunction(1);
SELECT CASE 3 WHEN 1 THEN 'one' WHEN 3 THEN 'three' END, CASE WHEN NULL THEN 1 ELSE 2 END;
