-- Tables, indexes, joins, aggregates, triggers, views.
CREATE TABLE author(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, born INT CHECK (born > 1000));
CREATE TABLE book(id INTEGER PRIMARY KEY, author INT REFERENCES author(id) ON DELETE CASCADE, title TEXT, pages INT, price REAL);
CREATE INDEX book_by_author ON book(author, pages DESC);
CREATE TABLE log(what TEXT, at INT);
CREATE TRIGGER logged AFTER INSERT ON book BEGIN INSERT INTO log VALUES ('added ' || NEW.title, NEW.pages); END;
PRAGMA foreign_keys = ON;
INSERT INTO author(name, born) VALUES ('Ada', 1815), ('Alan', 1912), ('Grace', 1906), ('Edsger', 1930);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
  INSERT INTO book(author, title, pages, price) SELECT 1 + i % 4, printf('Book %03d', i), 50 + i * 37 % 700, i * 1.25 FROM n;
SELECT name, count(*), sum(pages), round(avg(price), 3), min(title), max(pages) FROM author JOIN book ON author = author.id GROUP BY name ORDER BY name;
SELECT name, (SELECT group_concat(title, '; ') FROM (SELECT title FROM book WHERE author = author.id ORDER BY pages DESC, title LIMIT 2)) FROM author;
SELECT title, pages, rank() OVER (PARTITION BY author ORDER BY pages DESC), sum(pages) OVER (ORDER BY id ROWS 2 PRECEDING) FROM book WHERE id <= 12;
SELECT count(*), sum(at) FROM log;
CREATE VIEW thick AS SELECT name, title FROM author JOIN book ON author = author.id WHERE pages > 700;
SELECT * FROM thick ORDER BY 2;
EXPLAIN QUERY PLAN SELECT * FROM book WHERE author = 2 AND pages > 300;
DELETE FROM author WHERE name = 'Alan';
SELECT count(*) FROM book;
INSERT INTO author(name, born) VALUES ('Nobody', 5);
INSERT INTO author(name, born) VALUES ('Ada', 1900);
BEGIN; UPDATE book SET price = price * 2; SAVEPOINT here; DELETE FROM book; ROLLBACK TO here; SELECT count(*), round(sum(price), 2) FROM book; ROLLBACK;
SELECT round(sum(price), 2) FROM book;
SELECT a.name, b.name FROM author a LEFT JOIN author b ON b.born < a.born ORDER BY 1, 2;
SELECT upper(name) FROM author UNION SELECT title FROM book WHERE id < 5 EXCEPT SELECT 'ADA' ORDER BY 1;
ALTER TABLE book RENAME COLUMN pages TO leaves;
SELECT leaves FROM book ORDER BY leaves LIMIT 3 OFFSET 5;
PRAGMA integrity_check;
