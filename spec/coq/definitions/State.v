(** The state of the machine: objects, and the tables that name them. *)
From stdpp Require Import base numbers gmap strings.
From Contextvars Require Import Words Bindings.
Local Open Scope N_scope.

(** ** Ghosts: numbers that theorems speak of and no operation reads. Extraction drops them. *)
Definition ghost := N.
Definition ghost_zero : ghost := 0.
Definition ghost_next (g : ghost) : ghost := g + 1.
(** As many switches as lead from one [context_ver] to another. *)
Definition ghost_jump (from to : u64) (g : ghost) : ghost :=
  g + (u64_value to + half * half - u64_value from) mod (half * half).

(** The lookup cache of a variable (CACHE-1), and how often its thread had switched then. *)
Record cache := MkCache { cache_entry_of : cache_entry; cache_filled : ghost }.

Record variable := MkVariable {
  var_name : string;
  var_default : option value;
  var_hash : u64;
  var_cache : option cache;
  var_held : bool;                 (** the trace holds it *)
}.

Record token := MkToken {
  tok_context : N;
  tok_variable : variable_id;
  tok_old : option value;          (** [None]: there was none; [Some Missing]: the object (RESET-9) *)
  tok_used : bool;
  tok_held : bool;
}.

(** A thread's stack of entered contexts, over a base context that is made when needed (SET-2). *)
Record thread := MkThread {
  th_live : bool;
  th_base : option N;
  th_stack : list N;
  th_ver : u64;
  th_switches : ghost;
  th_frames : list (N * context_id);  (** the open calls of run: context and its name *)
}.

Inductive view := Keys | Values | Items.

Record iterator := MkIterator {
  it_view : view;
  it_left : list (key * value);
  it_length : N;
  it_held : bool;
}.

Section state.
  Context {M : Type} `{Bindings M}.

  Record context := MkContext {
    ctx_map : M;
    ctx_entered : bool;
    ctx_name : option context_id;    (** while the trace holds it *)
  }.

  (** Contexts are numbered in the order of their making; the trace's names lead to the numbers. *)
  Record state := MkState {
    values : gmap N (equality * bool);   (** and whether the trace holds it *)
    variables : gmap N variable;
    tokens : gmap N token;
    contexts : gmap N context;
    next_context : N;
    names : gmap N N;
    iterators : gmap N iterator;
    references : gmap N (context_id * N);
    threads : gmap N thread;
    watchers : list (option watcher_id);
    events : list event;             (** of the present step, last first *)
  }.

  Definition set_values f (s : state) := MkState (f (values s)) (variables s) (tokens s) (contexts s) (next_context s) (names s) (iterators s) (references s) (threads s) (watchers s) (events s).
  Definition set_variables f (s : state) := MkState (values s) (f (variables s)) (tokens s) (contexts s) (next_context s) (names s) (iterators s) (references s) (threads s) (watchers s) (events s).
  Definition set_tokens f (s : state) := MkState (values s) (variables s) (f (tokens s)) (contexts s) (next_context s) (names s) (iterators s) (references s) (threads s) (watchers s) (events s).
  Definition set_contexts f (s : state) := MkState (values s) (variables s) (tokens s) (f (contexts s)) (next_context s) (names s) (iterators s) (references s) (threads s) (watchers s) (events s).
  Definition set_next_context n (s : state) := MkState (values s) (variables s) (tokens s) (contexts s) n (names s) (iterators s) (references s) (threads s) (watchers s) (events s).
  Definition set_names f (s : state) := MkState (values s) (variables s) (tokens s) (contexts s) (next_context s) (f (names s)) (iterators s) (references s) (threads s) (watchers s) (events s).
  Definition set_iterators f (s : state) := MkState (values s) (variables s) (tokens s) (contexts s) (next_context s) (names s) (f (iterators s)) (references s) (threads s) (watchers s) (events s).
  Definition set_references f (s : state) := MkState (values s) (variables s) (tokens s) (contexts s) (next_context s) (names s) (iterators s) (f (references s)) (threads s) (watchers s) (events s).
  Definition set_threads f (s : state) := MkState (values s) (variables s) (tokens s) (contexts s) (next_context s) (names s) (iterators s) (references s) (f (threads s)) (watchers s) (events s).
  Definition set_watchers w (s : state) := MkState (values s) (variables s) (tokens s) (contexts s) (next_context s) (names s) (iterators s) (references s) (threads s) w (events s).
  Definition set_events e (s : state) := MkState (values s) (variables s) (tokens s) (contexts s) (next_context s) (names s) (iterators s) (references s) (threads s) (watchers s) e.

  (** THREAD-1, VER-1. *)
  Definition new_thread : thread := MkThread true None [] (U64 0 1) ghost_zero [].
  Definition new_context : context := MkContext empty_map false None.

  Definition initial : state :=
    MkState ∅ ∅ ∅ ∅ 0 ∅ ∅ ∅ {[ 0 := new_thread ]}
      [None; None; None; None; None; None; None; None] [].

  Definition thread_of (s : state) (th : thread_id) : thread := default new_thread (threads s !! th).
  Definition context_of (s : state) (c : N) : context := default new_context (contexts s !! c).

  Definition put_thread th t := set_threads (insert th t).
  Definition put_context c x := set_contexts (insert c x).

  Definition held_variable (s : state) (v : variable_id) : option variable :=
    match variables s !! v with
    | Some x => if var_held x then Some x else None
    | None => None
    end.
  Definition held_token (s : state) (t : token_id) : option token :=
    match tokens s !! t with
    | Some x => if tok_held x then Some x else None
    | None => None
    end.
  Definition held_iterator (s : state) (i : iterator_id) : option iterator :=
    match iterators s !! i with
    | Some x => if it_held x then Some x else None
    | None => None
    end.

  Definition present {A} (o : option A) : bool := match o with Some _ => true | None => false end.

  Definition is_bound (s : state) (o : object) : bool :=
    match o with
    | ObjectNone | ObjectMissing => true
    | ObjectValue id => match values s !! id with Some (_, held) => held | None => false end
    | ObjectVariable id => present (held_variable s id)
    | ObjectToken id => present (held_token s id)
    | ObjectContext id => present (names s !! id)
    | ObjectIterator id => present (held_iterator s id)
    end.

  (** The key of a variable in every map. *)
  Definition key_of (v : variable_id) (x : variable) : key := Key v (fold (var_hash x)).

  (** What is current in a thread. *)
  Definition current (t : thread) : option N :=
    match th_stack t with c :: _ => Some c | [] => th_base t end.
End state.

Arguments context : clear implicits.
Arguments state : clear implicits.
