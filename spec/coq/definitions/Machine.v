(** The machine: one function an operation, each headed by the rules that it implements. *)
From stdpp Require Import base numbers gmap strings.
From Contextvars Require Import Words Bindings State Text Equality Life.
Local Open Scope N_scope.

Section machine.
  Context {M : Type} `{Bindings M}.

  (** Whether [ContextVar.get] trusts the lookup cache, as CPython does. That both machines answer
      alike is a theorem (proofs/Cache.v). *)
  Context (through_cache : bool).

  Notation state := (state M).
  Implicit Types s : state.

  (** ** Contexts *)

  (** A new context, named or not. *)
  Definition add_context (x : context M) s : state :=
    set_next_context (next_context s + 1) (put_context (next_context s) x s).

  (** CONTEXT-1, CAPI-1. *)
  Definition name_context (name : context_id) (map : M) s : state :=
    set_names (insert name (next_context s)) (add_context (MkContext map false (Some name)) s).

  (** SET-2, RESET-5, COPY-3 ([context_get]): no version changes, nobody is told. *)
  Definition current_or_base (th : thread_id) s : state * N :=
    let t := thread_of s th in
    match current t with
    | Some c => (s, c)
    | None =>
        let base := next_context s in
        (put_thread th
           (MkThread (th_live t) (Some base) (th_stack t) (th_ver t) (th_switches t) (th_frames t))
           (add_context new_context s),
         base)
    end.

  Definition set_map (c : N) (map : M) s : state :=
    let x := context_of s c in
    put_context c (MkContext map (ctx_entered x) (ctx_name x)) s.

  (** COPY-1 ([PyContext_Copy]). *)
  Definition copy (source : N) (name : context_id) s : state :=
    name_context name (ctx_map (context_of s source)) s.

  (** COPY-2, COPY-3, CAPI-3 ([PyContext_CopyCurrent]). *)
  Definition copy_current (th : thread_id) (name : context_id) s : state :=
    let '(s, c) := current_or_base th s in copy c name s.

  (** ** Variables *)

  (** VAR-1, VAR-5 ([contextvar_new]). *)
  Definition new_variable (name : string) (hash : option u64) (initial : option value)
      (v : variable_id) s : state * outcome :=
    match variables s !! v with
    | Some _ => (s, Skipped)
    | None =>
        let hash := default (U64 0 v) hash in
        (set_variables (insert v (MkVariable name initial hash None true)) s, Done)
    end.

  Definition set_cache (v : variable_id) (c : option cache) s : state :=
    match variables s !! v with
    | Some x =>
        set_variables (insert v (MkVariable (var_name x) (var_default x) (var_hash x) c (var_held x))) s
    | None => s
    end.

  (** CACHE-1, CACHE-2. *)
  Definition fill_cache (th : thread_id) (v : variable_id) (bound : value) s : state :=
    let t := thread_of s th in
    set_cache v (Some (MkCache (CacheEntry bound th (th_ver t)) (th_switches t))) s.

  (** CACHE-5: what the cache answers to a thread. *)
  Definition cache_hit (th : thread_id) (t : thread) (x : variable) : option value :=
    match var_cache x with
    | Some (MkCache e _) =>
        if (cached_thread e =? th) && u64_eqb (cached_ver e) (th_ver t)
        then Some (cached_value e) else None
    | None => None
    end.

  (** What the current context binds: GET-1, GET-5. *)
  Definition lookup_map (t : thread) (v : variable_id) (x : variable) s : option value :=
    match current t with
    | Some c => find (key_of v x) (ctx_map (context_of s c))
    | None => None
    end.

  Definition lookup (th : thread_id) (v : variable_id) (x : variable) s : option value :=
    let t := thread_of s th in
    match (if through_cache && present (current t) then cache_hit th t x else None) with
    | Some bound => Some bound
    | None => lookup_map t v x s
    end.

  (** GET-1 to GET-5, CACHE-1, CACHE-4 ([PyContextVar_Get]). *)
  Definition get (th : thread_id) (v : variable_id) (given : option value) s : state * outcome :=
    match held_variable s v with
    | None => (s, Skipped)
    | Some x =>
        match lookup th v x s with
        | Some bound => (fill_cache th v bound s, AnObject (object_of bound))
        | None =>
            (s, match given, var_default x with
                | Some d, _ | None, Some d => AnObject (object_of d)
                | None, None => Error (LookupError v)
                end)
        end
    end.

  (** ORDER-1 to ORDER-3, CACHE-2 ([contextvar_set]). *)
  Definition bind (th : thread_id) (c : N) (v : variable_id) (x : variable) (bound : value) s : state :=
    fill_cache th v bound (set_map c (assoc (key_of v x) bound (ctx_map (context_of s c))) s).

  (** CACHE-3 ([contextvar_del]). *)
  Definition unbind (c : N) (v : variable_id) (x : variable) s : state :=
    set_cache v None (set_map c (without (key_of v x) (ctx_map (context_of s c))) s).

  (** SET-1 to SET-5 ([PyContextVar_Set]): the token first, then the binding. *)
  Definition set (th : thread_id) (v : variable_id) (bound : value) (made : token_id) s : state * outcome :=
    match held_variable s v with
    | None => (s, Skipped)
    | Some x =>
        if negb (is_bound s (object_of bound)) || present (tokens s !! made) then (s, Skipped)
        else
          let '(s, c) := current_or_base th s in
          let old := find (key_of v x) (ctx_map (context_of s c)) in
          (bind th c v x bound (set_tokens (insert made (MkToken c v old false true)) s), Done)
    end.

  Definition use (id : token_id) (t : token) s : state :=
    set_tokens (insert id (MkToken (tok_context t) (tok_variable t) (tok_old t) true (tok_held t))) s.

  (** RESET-2 to RESET-9, THREAD-2, THREAD-3 ([PyContextVar_Reset]). *)
  Definition reset (th : thread_id) (v : variable_id) (id : token_id) (t : token) s : state * outcome :=
    if tok_used t then (s, Error (TokenUsed id))
    else if negb (tok_variable t =? v) then (s, Error (TokenOfOtherVariable id))
    else
      let '(s, c) := current_or_base th s in
      if negb (tok_context t =? c) then (s, Error (TokenOfOtherContext id))
      else
        match variables s !! v with
        | None => (s, Skipped)    (* a token's variable exists (proofs/Invariant.v) *)
        | Some x =>
            let s := use id t s in
            match tok_old t with
            | Some old => (bind th c v x old s, Done)
            | None =>
                if present (find (key_of v x) (ctx_map (context_of s c)))
                then (unbind c v x s, Done)
                else (s, Error (LookupError v))   (* unreachable (proofs/Missing.v) *)
            end
        end.

  (** A wrong operand: the error that the rule gives it. *)
  Definition refuse (o : object) (e : error) s : state * outcome :=
    (s, if is_bound s o then Error e else Skipped).

  (** RESET-1 ([_contextvars_ContextVar_reset]). *)
  Definition reset_any (th : thread_id) (v : variable_id) (o : object) s : state * outcome :=
    match held_variable s v with
    | None => (s, Skipped)
    | Some _ =>
        match o with
        | ObjectToken id =>
            match held_token s id with None => (s, Skipped) | Some t => reset th v id t s end
        | _ => refuse o (TokenExpected o) s
        end
    end.

  (** ** Enter, exit, run *)

  (** WATCH-1, WATCH-7: every watcher is told what is current. *)
  Definition tell (c : option N) s : state :=
    let shown :=
      match c with
      | None => Null
      | Some c => match ctx_name (context_of s c) with Some name => Named name | None => Unnamed end
      end in
    let told := omap (fun w => (fun w => Event w shown) <$> w) (watchers s) in
    set_events (rev_append told (events s)) s.

  (** VER-1, VER-3, WATCH-1 ([context_switched]): the thread gets another stack. *)
  Definition switch (th : thread_id) (stack : list N) s : state :=
    let t := thread_of s th in
    let t := MkThread (th_live t) (th_base t) stack (u64_next (th_ver t)) (ghost_next (th_switches t)) (th_frames t) in
    tell (current t) (put_thread th t s).

  Definition set_entered (c : N) (entered : bool) s : state :=
    let x := context_of s c in
    put_context c (MkContext (ctx_map x) entered (ctx_name x)) s.

  (** ENTER-1, ENTER-3, THREAD-4 ([PyContext_Enter]). *)
  Definition enter (th : thread_id) (c : N) (name : context_id) s : state * option error :=
    if ctx_entered (context_of s c) then (s, Some (AlreadyEntered name))
    else (switch th (c :: th_stack (thread_of s th)) (set_entered c true s), None).

  Definition is_current (c : N) (t : thread) : bool :=
    match current t with Some other => c =? other | None => false end.

  (** EXIT-1, EXIT-3, EXIT-4 ([PyContext_Exit]). *)
  Definition exit (th : thread_id) (c : N) (name : context_id) s : state * option error :=
    if negb (ctx_entered (context_of s c)) then (s, Some (NotEntered name))
    else if negb (is_current c (thread_of s th)) then (s, Some (NotCurrent name))
    else (switch th (tail (th_stack (thread_of s th))) (set_entered c false s), None).

  Definition answer (r : state * option error) : state * outcome :=
    let '(s, e) := r in (s, match e with None => Done | Some e => Error e end).

  Definition set_frames (th : thread_id) (frames : list (N * context_id)) s : state :=
    let t := thread_of s th in
    put_thread th (MkThread (th_live t) (th_base t) (th_stack t) (th_ver t) (th_switches t) frames) s.

  (** RUN-1, RUN-3 ([context_run]). *)
  Definition run_begin (th : thread_id) (name : context_id) s : state * outcome :=
    match names s !! name with
    | None => (s, Skipped)
    | Some c =>
        match enter th c name s with
        | (s, Some e) => (s, Error e)
        | (s, None) => (set_frames th ((c, name) :: th_frames (thread_of s th)) s, Called)
        end
    end.

  (** RUN-1, RUN-4, RUN-7, RUN-8 ([context_run]): a failing exit replaces the result. *)
  Definition run_end (th : thread_id) (result : outcome) s : state * outcome :=
    match th_frames (thread_of s th) with
    | [] => (s, Skipped)
    | (c, name) :: frames =>
        match exit th c name (set_frames th frames s) with
        | (s, Some e) => (s, Error e)
        | (s, None) => (s, result)
        end
    end.

  (** ** Threads *)

  Definition start_thread (made : thread_id) s : state * outcome :=
    match threads s !! made with
    | Some _ => (s, Skipped)
    | None => (put_thread made new_thread s, Done)
    end.

  (** One call of [run_end] a frame, innermost first. *)
  Fixpoint unwind (frames : list (N * context_id)) (th : thread_id) s : state :=
    match frames with
    | [] => s
    | _ :: rest => unwind rest th (fst (run_end th Done s))
    end.

  (** THREAD-5: what the thread entered otherwise stays entered. *)
  Definition end_thread (th : thread_id) s : state * outcome :=
    let s := unwind (th_frames (thread_of s th)) th s in
    let t := thread_of s th in
    (put_thread th (MkThread false (th_base t) (th_stack t) (th_ver t) (th_switches t) (th_frames t)) s, Done).

  (** THREAD-1, GET-5: a fresh context is entered over what is current, and exited. *)
  Definition has_current (th : thread_id) s : state * outcome :=
    let t := thread_of s th in
    let x := add_context new_context s in
    let s := switch th (next_context s :: th_stack t) x in
    (switch th (th_stack t) s, Bool (present (current t))).

  (** ** The context as a mapping *)

  (** MAP-1 to MAP-7: checks the key, then finds its binding. *)
  Definition look_up (name : context_id) (k : object) (found : variable_id -> option value -> outcome) s : state * outcome :=
    match names s !! name with
    | None => (s, Skipped)
    | Some c =>
        match k with
        | ObjectVariable v =>
            (s, match held_variable s v with
                | None => Skipped
                | Some x => found v (find (key_of v x) (ctx_map (context_of s c)))
                end)
        | _ => refuse k (KeyExpected k) s
        end
    end.

  (** ITER-1 to ITER-3, ORDER-1 to ORDER-3 ([PyHamtIterator]). *)
  Definition iterate (name : context_id) (made : iterator_id) (view : view) s : state * outcome :=
    match names s !! name, iterators s !! made with
    | Some c, None =>
        let map := ctx_map (context_of s c) in
        (set_iterators (insert made (MkIterator view (items map) (count map) true)) s, Done)
    | _, _ => (s, Skipped)
    end.

  (** ITER-4, ITER-5. *)
  Definition next (id : iterator_id) s : state * outcome :=
    match held_iterator s id with
    | None => (s, Skipped)
    | Some i =>
        match it_left i with
        | [] => (s, Error StopIteration)
        | (k, bound) :: rest =>
            (set_iterators (insert id (MkIterator (it_view i) rest (it_length i) (it_held i))) s,
             match it_view i with
             | Keys => AnObject (ObjectVariable (key_id k))
             | Values => AnObject (object_of bound)
             | Items => Pair (key_id k) bound
             end)
        end
    end.

  (** EQ-7. *)
  Definition compare (left right : object) (same : bool -> bool) s : state * outcome :=
    (s, if is_bound s left && is_bound s right
        then match equal s left right with inl b => Bool (same b) | inr id => Error (EqualityRaised id) end
        else Skipped).

  (** VAR-5, TOKEN-8, CONTEXT-4, MISSING-2. *)
  Definition hash_object (o : object) s : state * outcome :=
    (s, if is_bound s o then
          match o with
          | ObjectVariable v =>
              match held_variable s v with
              | Some x => Hash (var_hash x)
              | None => Skipped
              end
          | ObjectToken _ | ObjectContext _ => Error (Unspecified TypeError)
          | _ => Done
          end
        else Skipped).

  (** ** The trace's own references *)

  Definition drop (o : object) s : state * outcome :=
    if negb (is_bound s o) then (s, Skipped)
    else
      (match o with
       | ObjectVariable v =>
           set_variables (alter (fun x => MkVariable (var_name x) (var_default x) (var_hash x) (var_cache x) false) v) s
       | ObjectToken t =>
           set_tokens (alter (fun x => MkToken (tok_context x) (tok_variable x) (tok_old x) (tok_used x) false) t) s
       | ObjectContext name =>
           match names s !! name with
           | None => s
           | Some c =>
               let x := context_of s c in
               set_names (delete name) (put_context c (MkContext (ctx_map x) (ctx_entered x) None) s)
           end
       | ObjectIterator i =>
           set_iterators (alter (fun x => MkIterator (it_view x) (it_left x) (it_length x) false) i) s
       | ObjectValue v => set_values (alter (fun x => (fst x, false)) v) s
       | ObjectNone | ObjectMissing => s
       end, Done).

  (** CONTEXT-5. *)
  Definition weak_reference (name : context_id) (made : reference_id) s : state * outcome :=
    match names s !! name, references s !! made with
    | Some c, None => (set_references (insert made (name, c)) s, Done)
    | _, _ => (s, Skipped)
    end.

  (** CONTEXT-5, TOKEN-13. *)
  Definition dereference (id : reference_id) s : state * outcome :=
    (s, match references s !! id with
        | None => Skipped
        | Some (name, c) => if is_alive s c then AnObject (ObjectContext name) else Done
        end).

  (** ** Watchers *)

  (** WATCH-2: the lowest free slot is taken; answers its number. *)
  Fixpoint take_slot (w : watcher_id) (slots : list (option watcher_id)) : option (list (option watcher_id) * N) :=
    match slots with
    | [] => None
    | None :: rest => Some (Some w :: rest, 0)
    | taken :: rest =>
        match take_slot w rest with
        | Some (rest, n) => Some (taken :: rest, n + 1)
        | None => None
        end
    end.

  (** WATCH-2, WATCH-3 ([PyContext_AddWatcher]). *)
  Definition add_watcher (made : watcher_id) s : state * outcome :=
    match take_slot made (watchers s) with
    | Some (slots, n) => (set_watchers slots s, Count n)
    | None => (s, Error NoMoreWatchers)
    end.

  (** WATCH-4 to WATCH-6 ([PyContext_ClearWatcher]). *)
  Definition clear_watcher (slot : option N) (id : Z) s : state * outcome :=
    match slot with
    | None => (s, Error (InvalidWatcher id))
    | Some n =>
        if 8 <=? n then (s, Error (InvalidWatcher id))
        else
          match watchers s !! N.to_nat n with
          | Some (Some _) => (set_watchers (<[N.to_nat n := None]> (watchers s)) s, Done)
          | _ => (s, Error (WatcherNotSet id))
          end
    end.

  (** ** What Python's surface allows and forbids *)

  Definition raises (e : exception) : outcome := Error (Unspecified e).

  (** RUN-5, RUN-6: a call inside the context, which ends at once. *)
  Definition run_at_once (th : thread_id) (name : context_id) (result : outcome) s : state * outcome :=
    match names s !! name with
    | None => (s, Skipped)
    | Some c =>
        match enter th c name s with
        | (s, Some e) => (s, Error e)
        | (s, None) =>
            match exit th c name s with
            | (s, Some e) => (s, Error e)
            | (s, None) => (s, result)
            end
        end
    end.

  (** VAR-2 to VAR-4, VAR-7, VAR-11 to VAR-13, TOKEN-5, TOKEN-10 to TOKEN-12, TOKEN-16, MISSING-2,
      MISSING-3, CONTEXT-2, CONTEXT-5 to CONTEXT-8, RUN-2. *)
  Definition surface (a : action) (o : object) s : outcome :=
    match a, o with
    | _, (ObjectNone | ObjectValue _ | ObjectIterator _) => Unsupported
    | ConstructWithNameNotStr, _ => Error NameNotStr
    | CountNameHashes, _ => Count 1
    | (Construct | ConstructWithUnknownKeyword), ObjectToken _ => Error TokensOnlyByVariables
    | ConstructWithUnknownKeyword, ObjectContext _ => Error ContextTakesNoArguments
    | (Construct | WeakReference), ObjectContext _ => Done
    | Subscript, (ObjectVariable _ | ObjectToken _) => Text [Literal "GenericAlias"]
    | (Pickle | CopyCopy), ObjectMissing => Unsupported
    | Truth, ObjectContext name => Bool (negb (count (named_map s name) =? 0))
    | Truth, _ => Bool true
    | IsMapping, ObjectContext _ => Bool true
    | IsMapping, _ => Bool false
    | RunWithoutCallable, ObjectContext _ => Error CallableMissing
    | ExitWithoutArguments, ObjectToken _ => raises TypeError
    | (RunWithoutCallable | RunWithKeywords | RunNotCallable | ExitWithoutArguments | SetAttribute
       | SetReadOnly), _ => raises AttributeError
    | _, _ => raises TypeError
    end.

  Definition attempt (th : thread_id) (a : action) (o : object) s : state * outcome :=
    if negb (is_bound s o) then (s, Skipped)
    else
      match a, o with
      | RunWithKeywords, ObjectContext name => run_at_once th name (Count 2) s
      | RunNotCallable, ObjectContext name => run_at_once th name (raises TypeError) s
      | _, _ => (s, surface a o s)
      end.

  (** ** Operations *)

  (** What an operation on a context of the trace does with it. *)
  Definition on_context (name : context_id) (f : N -> state -> state * outcome) s : state * outcome :=
    match names s !! name with Some c => f c s | None => (s, Skipped) end.

  Definition on_token (id : token_id) (f : token -> state -> state * outcome) s : state * outcome :=
    match held_token s id with Some t => f t s | None => (s, Skipped) end.

  Definition operate (th : thread_id) (op : operation) s : state * outcome :=
    match op with
    | OpValue e made =>
        match values s !! made with
        | Some _ => (s, Skipped)
        | None => (set_values (insert made (e, true)) s, Done)
        end
    | OpContextVar name hash initial made => new_variable name hash initial made s
    | OpCapiVarNew name initial made => new_variable name None initial made s
    | OpVarGet v given => get th v given s
    | OpVarSet v bound made => set th v bound made s
    | OpVarReset v o => reset_any th v o s
    | OpVarName v =>
        (s, match held_variable s v with Some x => Text [Literal (var_name x)] | None => Skipped end)
    | OpTokenVar id => on_token id (fun t s => (s, AnObject (ObjectVariable (tok_variable t)))) s
    | OpTokenOldValue id =>
        on_token id (fun t s => (s, AnObject (object_of (default Missing (tok_old t))))) s
    | OpTokenEnter id => on_token id (fun _ s => (s, AnObject (ObjectToken id))) s
    | OpTokenExit id => on_token id (fun t s => reset th (tok_variable t) id t s) s
    | OpContext made | OpCapiNew made => (name_context made empty_map s, Done)
    | OpCopyContext made | OpCapiCopyCurrent made => (copy_current th made s, Done)
    | OpContextCopy source made => on_context source (fun c s => (copy c made s, Done)) s
    | OpCapiCopy source made =>
        match source with
        | ObjectContext source => on_context source (fun c s => (copy c made s, Done)) s
        | _ => refuse source CapiContextExpected s
        end
    | OpRun name => run_begin th name s
    | OpReturn => run_end th Done s
    | OpRaise => run_end th (Error Raised) s
    | OpGetItem name k =>
        look_up name k (fun v found =>
          match found with Some b => AnObject (object_of b) | None => Error (KeyError v) end) s
    | OpContains name k => look_up name k (fun _ found => Bool (present found)) s
    | OpContextGet name k given =>
        look_up name k (fun _ found =>
          AnObject (object_of (match found, given with
                               | Some b, _ | None, Some b => b
                               | None, None => ValueNone
                               end))) s
    | OpContextLen name => on_context name (fun c s => (s, Count (count (ctx_map (context_of s c))))) s
    | OpIter name made | OpKeys name made => iterate name made Keys s
    | OpValues name made => iterate name made Values s
    | OpItems name made => iterate name made Items s
    | OpNext id => next id s
    | OpIteratorLen id =>
        (s, match held_iterator s id with Some i => Count (it_length i) | None => Skipped end)
    | OpEqual x y => compare x y (fun b => b) s
    | OpNotEqual x y => compare x y negb s
    | OpRepr o => (s, if is_bound s o then Text (repr s o) else Skipped)
    | OpHash o => hash_object o s
    | OpAttempt a o => attempt th a o s
    | OpWeakReference name made => weak_reference name made s
    | OpDereference id => dereference id s
    | OpDrop o => drop o s
    | OpEnter o =>
        match o with
        | ObjectContext name => on_context name (fun c s => answer (enter th c name s)) s
        | _ => refuse o CapiContextExpected s
        end
    | OpExit o =>
        match o with
        | ObjectContext name => on_context name (fun c s => answer (exit th c name s)) s
        | _ => refuse o CapiContextExpected s
        end
    | OpCapiVarGet o given =>
        match o with
        | ObjectVariable v =>
            match get th v given s with
            | (s, Error (LookupError _)) => (s, NotFound)
            | other => other
            end
        | _ => refuse o CapiVariableExpected s
        end
    | OpCapiVarSet o bound made =>
        match o with
        | ObjectVariable v => set th v bound made s
        | _ => refuse o CapiVariableExpected s
        end
    | OpCapiVarReset o k =>
        if is_bound s o && is_bound s k then
          match o, k with
          | ObjectVariable v, ObjectToken id => on_token id (fun t s => reset th v id t s) s
          | ObjectVariable _, _ => refuse k CapiTokenExpected s
          | _, _ => refuse o CapiVariableExpected s
          end
        else (s, Skipped)
    | OpAddWatcher _ made => add_watcher made s
    | OpClearWatcher slot id => clear_watcher slot id s
    | OpStartThread made => start_thread made s
    | OpEndThread => end_thread th s
    | OpCache v =>
        (s, match held_variable s v with
            | Some x => Cache (cache_entry_of <$> var_cache x)
            | None => Skipped
            end)
    | OpContextVer => (s, ContextVer (th_ver (thread_of s th)))
    | OpSetContextVer ver =>
        let t := thread_of s th in
        let ver := u64_clamp ver in
        (put_thread th
           (MkThread (th_live t) (th_base t) (th_stack t) ver
              (ghost_jump (th_ver t) ver (th_switches t)) (th_frames t)) s, Done)
    | OpHasCurrentContext => has_current th s
    end.

  (** What an operation needs is bound, or it is skipped. *)
  Definition carry_out (th : thread_id) (op : operation) s : state * outcome :=
    if forallb (is_bound s) (uses op) then operate th op s else (s, Skipped).

  (** One step: on a live thread only; the events are those of this step. *)
  Definition perform (p : step) s : state * (outcome * list event) :=
    let s := set_events [] s in
    if th_live (default (MkThread false None [] (U64 0 0) ghost_zero []) (threads s !! step_thread p)) then
      let '(s, o) := carry_out (step_thread p) (step_operation p) s in
      (s, (o, rev_append (events s) []))
    else (s, (Skipped, [])).

  (** A whole trace. *)
  Fixpoint perform_all (ps : list step) s : state * list (outcome * list event) :=
    match ps with
    | [] => (s, [])
    | p :: rest =>
        let '(s, a) := perform p s in
        let '(s, answers) := perform_all rest s in
        (s, a :: answers)
    end.

  (** ** Observations *)

  (** What the trace sees of a context that it holds: its bindings in order. *)
  Definition observe_context (name : context_id) s : option (list (variable_id * value)) :=
    match names s !! name with
    | Some c => Some (map (fun '(k, v) => (key_id k, v)) (items (ctx_map (context_of s c))))
    | None => None
    end.

  (** What the trace sees of a token that it holds. *)
  Definition observe_token (id : token_id) s : option (variable_id * value * bool) :=
    match held_token s id with
    | Some t => Some (tok_variable t, default Missing (tok_old t), tok_used t)
    | None => None
    end.

  (** All that the trace holds, in no particular order. *)
  Definition observe s
    : list (context_id * list (variable_id * value)) * list (token_id * (variable_id * value * bool)) :=
    (omap (fun name => pair name <$> observe_context name s) ((map_to_list (names s)).*1),
     omap (fun id => pair id <$> observe_token id s) ((map_to_list (tokens s)).*1)).
End machine.
