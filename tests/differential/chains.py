"""Cumulative patches one after the other, each an edit of the original: what the earlier ones have added (data, objects
of new types, functions that are known by their address) meets the code of the later ones."""
from cases import NI
from areas import CI, IO, SHOW

OLD = NI + 'int f(int x){return x+1;}\n'


class Chain:
    """`versions`: what stands in place of OLD, one after the other. `answers`: of the original and of each version in
    turn. `refusal`: of the last version; then the one before it goes on answering. `others`: other files, of the original
    and of each version."""

    def __init__(self, name, versions, answers, refusal='', language='c', others=None):
        self.name = name
        head, show = (CI, 'void show(int r)') if language == 'c' else (IO, SHOW)
        self.versions = [{'a.' + language: head + text + show + '{printf("%d\\n",f(r));}\n', **more}
                         for text, more in zip((OLD, *versions), others or [{}] * (len(versions) + 1))]
        self.answers = [str(answer) + '\n' for answer in answers]
        self.refusal = refusal
        self.language = language


ALLOCATED = ('#include <stdlib.h>\nstruct T{int a,b;};static struct T*n;' + NI +
             'int f(int x){if(!n){n=calloc(1,sizeof*n);n->a=1;n->b=20;}n->a+=x;n->b+=x*10;return n->a;}\n')
GUARDED = 'static ' + NI + 'int st(){return 40;}' + NI + 'int f(int x){static int n=st();n+=x;return n;}\n'
VIRTUAL = ('struct V{virtual int g(int x){return x+1;}virtual int h(int x){return x*50;}virtual ~V(){}};static V*v;' + NI +
           'V*mk(){return new V;}' + NI + 'int f(int x){if(!v)v=mk();return v->g(x);}\n')
STORED = (NI + 'static int g(int x){return x*7;}static int(*p)(int);' + NI +
          'int f(int x){if(!p)p=g;return p(x)*10+(p==g);}\n')
OPERATIONS = (NI + 'static int q(int x){return x*3;}' + NI +
              'static int p1(int x){return q(x)+1;}struct O{int(*g)(int);int n;};static struct O o={p1,5};' + NI +
              'int f(int x){o.n+=x;return o.g(x)+o.n*1000;}\n')
HELD = ('#include <functional>\nstatic std::function<int(int)>*k;static ' + NI +
        'void set(int a){k=new std::function<int(int)>([a](int x){return x+a*10;});}' + NI +
        'int f(int x){if(!k)set(2);return (*k)(x);}\n')

FROM_OTHER_UNITS = [
    {'b.cc': 'int b(int x){return x;}\n'},
    {'b.cc': 'int b(int x){return x;}\n', 'h.h': 'inline int g(int x){return x+10;}\n'},
    {'b.cc': '#include "h.h"\nint b(int x){int(*volatile r)(int)=g;return r(x);}\n',
     'h.h': 'inline int g(int x){return x+20;}\n'}]

CHAINS = [
    Chain('a new static keeps its value', [
        'static int n=5;' + NI + 'int f(int x){n+=x;return n;}\n',
        'static int n=5;' + NI + 'int f(int x){n+=x;return n*2;}\n'], [2, 7, 20]),
    Chain('a new static of another type begins anew', [
        '#include <stdlib.h>\nstatic char*n;' + NI + 'int f(int x){if(!n){n=calloc(16,1);n[1]=7;}return n[1]+x;}\n',
        '#include <stdlib.h>\nstatic short*n;' + NI + 'int f(int x){if(!n){n=calloc(16,2);n[1]=7;}return n[1]+x;}\n'],
          [2, 9, 10]),
    Chain('a new guarded static keeps its value', [GUARDED, GUARDED.replace('n+=x;', 'n+=x*2;')], [2, 42, 48],
          language='cc'),
    Chain('a new guarded static of another size is initialised', [GUARDED, GUARDED.replace('static int n', 'static long n')],
          [2, 42, 43], language='cc'),
    Chain('members of a new record exchanged', [ALLOCATED, ALLOCATED.replace('int a,b', 'int b,a')], [2, 3, 6],
          'MEND-E0101'),
    Chain('a new record grows', [ALLOCATED, ALLOCATED.replace('int a,b', 'int c[4];int a,b')], [2, 3, 6], 'MEND-E0101'),
    Chain('a new record stays', [ALLOCATED, ALLOCATED.replace('return n->a', 'return n->b')], [2, 3, 70]),
    Chain('values of a new enumeration', [
        'enum E{P,Q};static enum E n;' + NI + 'int f(int x){if(!n)n=Q;return n==Q?10:20;}\n',
        'enum E{P,Z,Q};static enum E n;' + NI + 'int f(int x){if(!n)n=Q;return n==Q?10:20;}\n'], [2, 10, 10],
          'MEND-E0103'),
    Chain('a new enumeration goes on', [
        'enum E{P,Q};static enum E n;' + NI + 'int f(int x){if(!n)n=Q;return n==Q?10:20;}\n',
        'enum E{P,Q,Z};static enum E n;' + NI + 'int f(int x){if(!n)n=Q;return n==Q?11:20;}\n'], [2, 10, 11]),
    Chain('order of new virtual functions', [VIRTUAL, VIRTUAL.replace(
        'virtual int g(int x){return x+1;}virtual int h(int x){return x*50;}',
        'virtual int h(int x){return x*50;}virtual int g(int x){return x+1;}')], [2, 3, 4], 'MEND-E0102', language='cc'),
    Chain('a new virtual function edited', [VIRTUAL, VIRTUAL.replace('x+1', 'x+100'), VIRTUAL.replace('x+1', 'x+1000')],
          [2, 3, 103, 1004], language='cc'),
    Chain('a new function known by its address edited', [STORED, STORED.replace('x*7', 'x*8'),
                                                         STORED.replace('x*7', 'x*9')], [2, 141, 241, 361]),
    Chain('a new function known by its address stays', [STORED, STORED.replace('*10', '*100')], [2, 141, 2101]),
    Chain('a new function known by its address, edited and as before', [STORED, STORED.replace('x*7', 'x*8'), STORED],
          [2, 141, 241, 281]),
    Chain('a new function known by its address becomes global', [STORED, STORED.replace(
        'static int g(int x){return x*7', 'int g(int x){return x*8')], [2, 141, 241]),
    Chain('new operations keep their state', [OPERATIONS, OPERATIONS.replace('x*3', 'x*30')], [2, 7007, 10091]),
    Chain('a new inline function known by its address, which another unit has then', [
        '#include "h.h"\nstatic int(*p)(int);' + NI + 'int f(int x){if(!p)p=g;return p(x);}\n',
        'int b(int);static int(*p)(int);' + NI + 'int f(int x){return p?p(x)*100+b(x):0;}\n'], [2, 12, 2323],
          language='cc', others=FROM_OTHER_UNITS),
    Chain('a new closure edited', [HELD, HELD.replace('x+a*10', 'x+a*100')], [2, 22, 203], language='cc'),
]
