create table a(id integer primary key, name text, value real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
insert into a select i, 'name' || (i * 7919 % 1000), i / 3.0 from n;
create index by_name on a(name, value);
select name, count(*), round(sum(value), 3) from a group by name order by 3 desc limit 3;
select count(*) from a x join a y on x.name = y.name and x.id < y.id where x.id < 2000;
update a set value = value * 2 where name like 'name1%';
delete from a where id % 3 = 0;
select count(*), round(total(value), 2), group_concat(distinct substr(name, 5, 1)) from a;
select json_extract('{"a": [1, {"b": "c"}]}', '$.a[1].b'), printf('%08.3f', 3.14159), strftime('%Y', 0, 'unixepoch');
pragma integrity_check;
