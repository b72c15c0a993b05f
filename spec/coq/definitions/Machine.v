(** The machine: an operation, a step, a trace, and what is to be seen after it. *)
From stdpp Require Import base numbers gmap strings.
From Contextvars Require Export Variables Stacks Mapping References Watchers Surface.
From Contextvars Require Import Words Bindings State Text Equality Life.
Local Open Scope N_scope.

Section machine.
  Context {M : Type} `{Bindings M}.
  (** Whether [ContextVar.get] trusts the lookup cache, as CPython does. That both machines answer
      alike is a theorem (proofs/Cache.v). *)
  Context (through_cache : bool).

  Notation state := (state M).
  Implicit Types s : state.

  (** ** Operations *)

  (** What an operation on a context of the trace does with it. *)
  Definition on_context (name : context_id) (f : N -> state -> state * outcome) s : state * outcome :=
    match names s !! name with Some c => f c s | None => (s, Skipped) end.

  Definition on_token (id : token_id) (f : token -> state -> state * outcome) s : state * outcome :=
    match held_token s id with Some t => f t s | None => (s, Skipped) end.

  (** An operation by its function, or at once where it reads an attribute (VAR-6, TOKEN-1 to TOKEN-3),
      answers itself (TOKEN-14), resets by its token (TOKEN-15), counts (MAP-8, ITER-6), or checks what
      the C API is given (ENTER-2, EXIT-2, CAPI-1 to CAPI-8). *)
  Definition operate (th : thread_id) (op : operation) s : state * outcome :=
    match op with
    | OpValue e made =>
        match values s !! made with
        | Some _ => (s, Skipped)
        | None => (set_values (insert made (e, true)) s, Done)
        end
    | OpContextVar name hash initial made => new_variable name hash initial made s
    | OpCapiVarNew name initial made => new_variable name None initial made s
    | OpVarGet v given => get through_cache th v given s
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
            match get through_cache th v given s with
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
