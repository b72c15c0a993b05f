(** The words of the trace language: handles, values, operations, outcomes (spec/src). *)
From stdpp Require Import base numbers strings.
Local Open Scope N_scope.

(** A handle is its number; the kind is clear from where it stands. *)
Notation value_id := N (only parsing).
Notation variable_id := N (only parsing).
Notation token_id := N (only parsing).
Notation context_id := N (only parsing).
Notation iterator_id := N (only parsing).
Notation reference_id := N (only parsing).
Notation thread_id := N (only parsing).
Notation watcher_id := N (only parsing).

(** ** Numbers of 64 bits, as two halves *)

Definition half : N := 4294967296.
Record u64 := U64 { high : N; low : N }.

Definition u64_value (u : u64) : N := high u * half + low u.

(** Both halves brought below [half], whatever they were. *)
Definition u64_clamp (u : u64) : u64 :=
  U64 (N.land (high u) 4294967295) (N.land (low u) 4294967295).

(** One more, modulo 2^64 (VER-3). *)
Definition u64_next (u : u64) : u64 :=
  if low u =? 4294967295
  then if high u =? 4294967295 then U64 0 0 else U64 (high u + 1) 0
  else U64 (high u) (low u + 1).

Definition u64_eqb (a b : u64) : bool := (high a =? high b) && (low a =? low b).

(** ** Keys of the map *)

(** A variable in a map: its identity, and the 32 bits that the map uses of its hash. *)
Record key := Key { key_id : N; key_hash : N }.

Definition key_eqb (a b : key) : bool := (key_id a =? key_id b) && (key_hash a =? key_hash b).

(** ORDER-1, ORDER-3 ([hamt_hash]): low half xor high half, and -1 becomes -2. *)
Definition fold (hash : u64) : N :=
  let folded := N.land (N.lxor (low hash) (high hash)) 4294967295 in
  if folded =? 4294967295 then 4294967294 else folded.

(** ** Values and objects *)

Inductive equality := Never | Group (number : N) | Raises.

(** What a variable may hold. [Missing] is the object [Token.MISSING], stored as any other (SET-5);
    that nothing is bound is always an [option]. *)
Inductive value := ValueNone | Missing | Made (id : value_id).

Inductive object :=
| ObjectNone
| ObjectMissing
| ObjectValue (id : value_id)
| ObjectVariable (id : variable_id)
| ObjectToken (id : token_id)
| ObjectContext (id : context_id)
| ObjectIterator (id : iterator_id).

Definition object_of (v : value) : object :=
  match v with ValueNone => ObjectNone | Missing => ObjectMissing | Made id => ObjectValue id end.

Definition value_eqb (a b : value) : bool :=
  match a, b with
  | ValueNone, ValueNone | Missing, Missing => true
  | Made a, Made b => a =? b
  | _, _ => false
  end.

Definition object_eqb (a b : object) : bool :=
  match a, b with
  | ObjectNone, ObjectNone | ObjectMissing, ObjectMissing => true
  | ObjectValue a, ObjectValue b
  | ObjectVariable a, ObjectVariable b
  | ObjectToken a, ObjectToken b
  | ObjectContext a, ObjectContext b
  | ObjectIterator a, ObjectIterator b => a =? b
  | _, _ => false
  end.

(** ** Operations *)

Inductive action :=
| ConstructWithUnknownKeyword | ConstructWithNameNotStr | CountNameHashes | Construct | Subscript
| Subclass | WeakReference | Pickle | CopyCopy | SetAttribute | SetReadOnly | SetItem | Order | Truth
| IsMapping | RunWithoutCallable | RunWithKeywords | RunNotCallable | ExitWithoutArguments.

Inductive operation :=
| OpValue (as_equal : equality) (made : value_id)
| OpContextVar (name : string) (hash : option u64) (initial : option value) (made : variable_id)
| OpVarGet (variable : variable_id) (given : option value)
| OpVarSet (variable : variable_id) (bound : value) (made : token_id)
| OpVarReset (variable : variable_id) (token : object)
| OpVarName (variable : variable_id)
| OpTokenVar (token : token_id)
| OpTokenOldValue (token : token_id)
| OpTokenEnter (token : token_id)
| OpTokenExit (token : token_id)
| OpContext (made : context_id)
| OpCopyContext (made : context_id)
| OpContextCopy (source made : context_id)
| OpRun (context : context_id)
| OpReturn
| OpRaise
| OpGetItem (context : context_id) (key : object)
| OpContains (context : context_id) (key : object)
| OpContextGet (context : context_id) (key : object) (given : option value)
| OpContextLen (context : context_id)
| OpIter (context : context_id) (made : iterator_id)
| OpKeys (context : context_id) (made : iterator_id)
| OpValues (context : context_id) (made : iterator_id)
| OpItems (context : context_id) (made : iterator_id)
| OpNext (iterator : iterator_id)
| OpIteratorLen (iterator : iterator_id)
| OpEqual (left right : object)
| OpNotEqual (left right : object)
| OpRepr (shown : object)
| OpHash (hashed : object)
| OpAttempt (tried : action) (on : object)
| OpWeakReference (context : context_id) (made : reference_id)
| OpDereference (reference : reference_id)
| OpDrop (dropped : object)
| OpCapiNew (made : context_id)
| OpCapiCopy (source : object) (made : context_id)
| OpCapiCopyCurrent (made : context_id)
| OpEnter (context : object)
| OpExit (context : object)
| OpCapiVarNew (name : string) (initial : option value) (made : variable_id)
| OpCapiVarGet (variable : object) (given : option value)
| OpCapiVarSet (variable : object) (bound : value) (made : token_id)
| OpCapiVarReset (variable token : object)
| OpAddWatcher (fails : bool) (made : watcher_id)
| OpClearWatcher (slot : option N) (id : Z)
    (** [slot] is [id] where it is not negative. *)
| OpStartThread (made : thread_id)
| OpEndThread
| OpCache (variable : variable_id)
| OpContextVer
| OpSetContextVer (context_ver : u64)
| OpHasCurrentContext.

(** The objects that an operation needs. Where one is not bound, the operation is skipped. *)
Definition uses (op : operation) : list object :=
  let value v := match v with Some v => [object_of v] | None => [] end in
  match op with
  | OpContextVar _ _ d _ | OpCapiVarNew _ d _ => value d
  | OpVarGet v d => ObjectVariable v :: value d
  | OpVarSet v b _ => [ObjectVariable v; object_of b]
  | OpVarReset v o => [ObjectVariable v; o]
  | OpVarName v | OpCache v => [ObjectVariable v]
  | OpTokenVar t | OpTokenOldValue t | OpTokenEnter t | OpTokenExit t => [ObjectToken t]
  | OpContextCopy c _ | OpRun c | OpContextLen c | OpIter c _ | OpKeys c _ | OpValues c _ | OpItems c _
  | OpWeakReference c _ => [ObjectContext c]
  | OpGetItem c k | OpContains c k => [ObjectContext c; k]
  | OpContextGet c k d => ObjectContext c :: k :: value d
  | OpNext i | OpIteratorLen i => [ObjectIterator i]
  | OpEqual a b | OpNotEqual a b => [a; b]
  | OpRepr o | OpHash o | OpAttempt _ o | OpDrop o | OpCapiCopy o _ | OpEnter o | OpExit o => [o]
  | OpCapiVarGet o d => o :: value d
  | OpCapiVarSet o b _ => [o; object_of b]
  | OpCapiVarReset o t => [o; t]
  | OpValue _ _ | OpContext _ | OpCopyContext _ | OpReturn | OpRaise | OpCapiNew _ | OpCapiCopyCurrent _
  | OpAddWatcher _ _ | OpClearWatcher _ _ | OpStartThread _ | OpEndThread | OpDereference _
  | OpContextVer | OpSetContextVer _ | OpHasCurrentContext => []
  end.

Record step := Step { step_thread : thread_id; step_operation : operation }.

(** ** Outcomes *)

Inductive exception := TypeError | AttributeError.

Inductive error :=
| AlreadyEntered (context : context_id)
| NotEntered (context : context_id)
| NotCurrent (context : context_id)
| TokenUsed (token : token_id)
| TokenOfOtherVariable (token : token_id)
| TokenOfOtherContext (token : token_id)
| TokenExpected (given : object)
| CapiTokenExpected
| CapiVariableExpected
| CapiContextExpected
| KeyExpected (given : object)
| LookupError (variable : variable_id)
| KeyError (variable : variable_id)
| StopIteration
| Raised
| EqualityRaised (by_value : value_id)
| TokensOnlyByVariables
| ContextTakesNoArguments
| CallableMissing
| NameNotStr
| NoMoreWatchers
| InvalidWatcher (id : Z)
| WatcherNotSet (id : Z)
| Unspecified (type : exception).

Record cache_entry := CacheEntry {
  cached_value : value;
  cached_thread : thread_id;
  cached_ver : u64;
}.

(** A text with handles in the place of addresses. *)
Inductive piece := Literal (text : string) | Handle (named : object).

Inductive outcome :=
| Done                                  (** [none] *)
| AnObject (answer : object)
| Pair (variable : variable_id) (bound : value)
| Bool (answer : bool)
| Count (answer : N)
| Hash (answer : u64)
| Text (answer : list piece)
| ContextVer (answer : u64)
| Called
| NotFound
| Cache (answer : option cache_entry)
| Error (raised : error)
| Skipped
| Unsupported.

Inductive current_context := Null | Unnamed | Named (context : context_id).

Record event := Event { event_watcher : watcher_id; event_current : current_context }.
